package session

import (
	"bytes"
	"reflect"
)

// The codec of whole structs: one stored value per field.

// stored is what the session has under one key.
type stored struct {
	raw     []byte
	ok      bool
	rooted  bool // it depends on loaded data
	pending bool // this request has decided about it
}

// change is what becomes of one key.
type change struct {
	name    string
	raw     []byte
	present bool
}

func anyOf(values []stored) bool {
	for i := range values {
		if values[i].ok {
			return true
		}
	}
	return false
}

// decodeFields sets the fields of v, a zero struct, that are stored. With an error
// it returns the name of the field.
func (c *valueCodec) decodeFields(p *structPlan, values []stored, v reflect.Value) (bad string, err error) {
	for i := range p.fields {
		if !values[i].ok {
			continue
		}
		f := &p.fields[i]
		ptr := reach(v, f.index, true).Addr().Interface()
		if c.plain && decodePlain(values[i].raw, ptr) {
			continue
		}
		if err := c.decode(f.name, values[i].raw, ptr); err != nil {
			return f.name, err
		}
	}
	return "", nil
}

// encodeFields returns the stored form of v, nil for a field that its options
// omit.
func (c *valueCodec) encodeFields(p *structPlan, v reflect.Value) ([][]byte, error) {
	out := make([][]byte, len(p.fields))
	for i := range p.fields {
		f := &p.fields[i]
		field := reach(v, f.index, false)
		if !field.IsValid() || f.omits(field) {
			continue
		}
		raw, err := c.encodePointer(f.name, field.Addr().Interface())
		if err != nil {
			return nil, err
		}
		out[i] = raw
	}
	return out, nil
}

// encodePointer encodes what v points to.
func (c *valueCodec) encodePointer(name string, v any) ([]byte, error) {
	if c.plain {
		if raw, ok := encodePlain(v); ok {
			return raw, nil
		}
	}
	return c.encode(name, v)
}

// reach follows index through embedded structs. A nil pointer on the way is
// replaced if allocate is set, and ends it with an invalid value otherwise.
func reach(v reflect.Value, index []int, allocate bool) reflect.Value {
	for i, n := range index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !allocate {
					return reflect.Value{}
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v
}

// omits reports whether v is left out of the encoding.
func (f *structField) omits(v reflect.Value) bool {
	return f.omitEmpty && isEmpty(v) || f.omitZero && isZero(v)
}

// isEmpty is what encoding/json means by omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

type zeroer interface{ IsZero() bool }

var zeroerType = reflect.TypeFor[zeroer]()

// isZero is what encoding/json means by omitzero: the method of the static type.
func isZero(v reflect.Value) bool {
	switch t := v.Type(); {
	case t.Kind() == reflect.Interface, t.Kind() == reflect.Pointer && v.IsNil():
		return v.IsNil()
	case t.Implements(zeroerType):
		return v.Interface().(zeroer).IsZero()
	case reflect.PointerTo(t).Implements(zeroerType):
		return v.Addr().Interface().(zeroer).IsZero()
	default:
		return v.IsZero()
	}
}

// startStruct sets v, a zero struct, to what an Update function begins with, and
// returns its encoding. What comes from a default counts as changed: it has to be
// stored.
func (c *valueCodec) startStruct(d *declaration, u *start, v reflect.Value) (before [][]byte, bad string, err error) {
	p := d.plan
	if u.ok {
		if bad, err = c.decodeFields(p, u.values, v); err != nil {
			return nil, bad, err
		}
	}
	if !u.ok && d.def != nil {
		err = d.def.decode(c, d, v.Addr().Interface())
		makeMaps(p, v)
		return make([][]byte, len(p.fields)), "", err
	}
	makeMaps(p, v)
	before, err = c.encodeFields(p, v)
	return before, "", err
}

// makeMaps gives an Update function maps that it can write to.
func makeMaps(p *structPlan, v reflect.Value) {
	for i := range p.fields {
		if p.fields[i].typ.Kind() != reflect.Map {
			continue
		}
		if m := reach(v, p.fields[i].index, false); m.IsValid() && m.IsNil() {
			m.Set(reflect.MakeMap(m.Type()))
		}
	}
}

// changes returns the fields that differ between two encodings. Comparing with
// what is stored instead would take a field that another version of the program
// writes in another way for changed, and would drop what only that version knows.
func (p *structPlan) changes(before, after [][]byte) []change {
	var all []change
	for i, f := range p.fields {
		if bytes.Equal(before[i], after[i]) && (before[i] == nil) == (after[i] == nil) {
			continue
		}
		all = append(all, change{name: f.name, raw: after[i], present: after[i] != nil})
	}
	return all
}

// replacing returns the changes that make after out of what is stored.
func (c *valueCodec) replacing(p *structPlan, values []stored, after [][]byte) []change {
	var all []change
	for i := range p.fields {
		f := &p.fields[i]
		old := &values[i]
		same := old.ok == (after[i] != nil) && bytes.Equal(old.raw, after[i]) || old.ok && c.sameField(f, old.raw, after[i])
		if same && !old.pending { // or an Update would go on deciding, on fresh data
			continue
		}
		all = append(all, change{name: f.name, raw: after[i], present: after[i] != nil})
	}
	return all
}

// sameField reports whether what is stored decodes to what after encodes.
func (c *valueCodec) sameField(f *structField, raw, after []byte) bool {
	v := reflect.New(f.typ)
	if c.decode(f.name, raw, v.Interface()) != nil {
		return false
	}
	if f.omits(v.Elem()) {
		return after == nil
	}
	again, err := c.encodePointer(f.name, v.Interface())
	return err == nil && after != nil && bytes.Equal(again, after)
}
