package session

import (
	"context"
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
	if c.plain {
		if raw, ok := encodePlain(v); ok {
			return raw, nil
		}
	}
	return c.encode(d.name, v) // the pointer, for methods that T has on it
}

// runUpdate runs an Update function for the first time.
func runUpdate[T any](s *Session, d *declaration, f func(*T) error, u updating) (*T, []byte, error) {
	defer s.endUpdate()
	v, err := startValue[T](&s.m.codec, d, u.raw, u.ok)
	if err != nil {
		if u.ok {
			s.markBad(d, err)
		}
		return nil, nil, err
	}
	if err := callUpdate(f, v); err != nil {
		return nil, nil, err
	}
	raw, err := encodeValue(&s.m.codec, d, v)
	return v, raw, err
}

// replayUpdate runs it again. Only what the function itself returns is a
// *ReplayError.
func replayUpdate[T any](c *valueCodec, d *declaration, fn any, raw []byte, ok bool) ([]byte, error) {
	v, err := startValue[T](c, d, raw, ok)
	if err != nil {
		return nil, err
	}
	if err := callUpdate(fn.(func(*T) error), v); err != nil {
		return nil, &ReplayError{Key: d.name, Err: err}
	}
	return encodeValue(c, d, v)
}

// callUpdate is what inUpdate looks for.
//
//go:noinline
func callUpdate[T any](f func(*T) error, v *T) error { return f(v) }

// startValue returns what an Update function begins with.
func startValue[T any](c *valueCodec, d *declaration, raw []byte, ok bool) (*T, error) {
	v := new(T)
	switch {
	case ok && c.plain && decodePlain(raw, v):
	case ok:
		if err := c.decode(d.name, raw, v); err != nil {
			return nil, err
		}
	case d.def != nil:
		if err := d.def.decode(c, d, v); err != nil {
			return nil, err
		}
	}
	if r := reflect.TypeFor[T](); r.Kind() == reflect.Map {
		if m := reflect.ValueOf(v).Elem(); m.IsNil() {
			m.Set(reflect.MakeMap(r))
		}
	}
	return v, nil
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
