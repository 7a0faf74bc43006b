package session

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
)

// The typed half of the verbs of Typed: what becomes of a stored value, and back.

// decodeValue and defaultOf are apart from their callers so that the callers'
// value need not be allocated.
//
//go:noinline
func decodeValue[T any](c *valueCodec, d *declaration, raw []byte) (v T, err error) {
	err = c.decode(d.name, raw, &v)
	if err != nil { // which may have left half a value
		var zero T
		return zero, err
	}
	return v, nil
}

//go:noinline
func defaultOf[T any](t Typed[T], ctx context.Context) (v T, err error) {
	s, d := t.session(ctx)
	err = d.def.decode(&s.m.codec, d, &v)
	return v, err
}

func encodeValue[T any](c *valueCodec, d *declaration, v *T) ([]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	if c.plain && !c.checks(d) {
		if raw, ok := encodePlain(v); ok {
			return raw, nil
		}
	}
	return encodeChecked(c, d, v)
}

//go:noinline
func encodeChecked[T any](c *valueCodec, d *declaration, v *T) ([]byte, error) {
	raw, err := c.encodePointer(d.name, v) // the pointer, for methods that T has on it
	if err == nil {
		err = c.validate(d, v)
	}
	return raw, err
}

// encodeAll returns what v is stored as, under each key of d.
func encodeAll[T any](c *valueCodec, d *declaration, v *T) ([][]byte, error) {
	if d.plan == nil {
		raw, err := encodeValue(c, d, v)
		return [][]byte{raw}, err
	}
	return encodeStruct(c, d, v)
}

func encodeStruct[T any](c *valueCodec, d *declaration, v *T) ([][]byte, error) {
	if d.err != nil {
		return nil, d.err
	}
	values, err := c.encodeFields(d.plan, reflect.ValueOf(v).Elem())
	if err == nil {
		err = c.validate(d, v)
	}
	return values, err
}

// decodeAll is the counterpart of encodeAll.
func decodeAll[T any](s *Session, d *declaration, values []stored) (v T, err error) {
	if d.plan != nil {
		return decodeStruct[T](s, d, values)
	}
	if !values[0].ok {
		return v, nil
	}
	if v, err = decodeValue[T](&s.m.codec, d, values[0].raw); err != nil {
		s.markBad(d.name, err)
	}
	return v, err
}

func decodeStruct[T any](s *Session, d *declaration, values []stored) (T, error) {
	v := new(T)
	if bad, err := s.m.codec.decodeFields(d.plan, values, reflect.ValueOf(v).Elem()); err != nil {
		s.markBad(bad, err)
		var zero T
		return zero, err
	}
	return *v, nil
}

//go:noinline
func lookupStruct[T any](ctx context.Context, s *Session, d *declaration) (v T, ok bool, err error) {
	values, err := s.readFields(ctx, d)
	if err != nil || !anyOf(values) {
		return v, false, err
	}
	v, err = decodeStruct[T](s, d, values)
	return v, err == nil, err
}

//go:noinline
func setStruct[T any](ctx context.Context, s *Session, d *declaration, v T) error {
	after, err := encodeStruct(&s.m.codec, d, &v)
	if err != nil {
		return err
	}
	return s.setFields(ctx, d, after)
}

// updated is what an Update function has made of the keys it is about.
type updated struct {
	raw     []byte   // of a key
	changes []change // of the fields of a struct
}

// runUpdate runs an Update function for the first time.
func runUpdate[T any](s *Session, d *declaration, f func(*T) error, u start) (*T, updated, error) {
	defer s.endUpdate()
	v, before, bad, err := startValue[T](&s.m.codec, d, &u)
	if err != nil {
		if bad != "" {
			s.markBad(bad, err)
		}
		return nil, updated{}, err
	}
	if err := callUpdate(f, v); err != nil {
		return nil, updated{}, err
	}
	out, err := endValue(&s.m.codec, d, v, before)
	return v, out, err
}

// replayUpdate runs it again. Only what the function and the rules refuse is a
// *ReplayError.
func replayUpdate[T any](c *valueCodec, d *declaration, fn any, u start) (updated, error) {
	v, before, _, err := startValue[T](c, d, &u)
	if err != nil {
		return updated{}, err
	}
	if err := callUpdate(fn.(func(*T) error), v); err != nil {
		return updated{}, &ReplayError{Key: d.name, Err: err}
	}
	out, err := endValue(c, d, v, before)
	return out, refused(d, err)
}

// refused makes a *ReplayError of a *ValidationError: the value was valid before
// another request changed what it was made of.
func refused(d *declaration, err error) error {
	if _, invalid := errors.AsType[*ValidationError](err); invalid {
		return &ReplayError{Key: d.name, Err: err}
	}
	return err
}

// callUpdate is what inUpdate looks for.
//
//go:noinline
func callUpdate[T any](f func(*T) error, v *T) error { return f(v) }

// startValue returns what an Update function begins with, and how the fields of a
// struct are encoded before. With an error of a stored value comes its key.
func startValue[T any](c *valueCodec, d *declaration, u *start) (v *T, before [][]byte, bad string, err error) {
	v = new(T)
	switch {
	case d.plan != nil:
		before, bad, err = c.startStruct(d, u, reflect.ValueOf(v).Elem())
		return v, before, bad, err
	case u.ok && c.plain && decodePlain(u.raw, v):
	case u.ok:
		if err := c.decode(d.name, u.raw, v); err != nil {
			return nil, nil, d.name, err
		}
	case d.def != nil:
		if err := d.def.decode(c, d, v); err != nil {
			return nil, nil, "", err
		}
	}
	if r := reflect.TypeFor[T](); r.Kind() == reflect.Map {
		if m := reflect.ValueOf(v).Elem(); m.IsNil() {
			m.Set(reflect.MakeMap(r))
		}
	}
	return v, nil, "", nil
}

func endValue[T any](c *valueCodec, d *declaration, v *T, before [][]byte) (out updated, err error) {
	if d.plan == nil {
		out.raw, err = encodeValue(c, d, v)
		return out, err
	}
	after, err := encodeStruct(c, d, v)
	if err != nil {
		return out, err
	}
	out.changes = d.plan.changes(before, after)
	return out, nil
}

// defaultValue is what WithDefault was given.
type defaultValue struct {
	v       any  // a *T
	copies  bool // *v needs no codec to be copied
	encoded atomic.Pointer[encodedDefault]
}

type encodedDefault struct {
	codec *valueCodec
	raw   []byte
}

// decode sets *v, a *T, to a copy of the default.
func (def *defaultValue) decode(c *valueCodec, d *declaration, v any) error {
	if def.copies {
		reflect.ValueOf(v).Elem().Set(reflect.ValueOf(def.v).Elem())
		return nil
	}
	e := def.encoded.Load()
	if e == nil || e.codec != c {
		raw, err := c.encode(d.name, def.v)
		if err != nil {
			return err
		}
		e = &encodedDefault{codec: c, raw: raw}
		def.encoded.Store(e)
	}
	return c.decode(d.name, e.raw, v)
}

// isPlain reports whether every value of t comes back from its encoding as it
// was, and shares no memory with its copies.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.PointerTo(t).NumMethod() == 0
	default:
		return false
	}
}
