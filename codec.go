package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"

	gojson "github.com/goccy/go-json"
)

// Codec turns values into JSON and back.
//
// To the implementer: Marshal returns valid JSON and is deterministic, equal
// values give equal bytes: the entries of maps are in one order. Unmarshal
// decodes into the pointer v, refuses input that does not fit, and keeps no
// reference to data. Both are safe for concurrent use. NewManager tries a codec
// on a few values and refuses one that breaks these rules.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec: the encoding of package encoding/json, by way of
// github.com/goccy/go-json, which is several times as fast.
type JSON struct{}

// Marshal returns the JSON encoding of v.
func (JSON) Marshal(v any) ([]byte, error) { return gojson.Marshal(v) }

// Unmarshal decodes data into v, which should point to a zero value. What the fast
// decoder refuses is decided by encoding/json, and the errors are its own.
func (JSON) Unmarshal(data []byte, v any) error {
	if gojson.Unmarshal(data, v) == nil {
		return nil
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return json.Unmarshal(data, v)
	}
	clean := reflect.New(p.Type().Elem()) // v may hold half a value by now
	if err := json.Unmarshal(data, clean.Interface()); err != nil {
		return err
	}
	p.Elem().Set(clean.Elem())
	return nil
}

// valueCodec is the codec of one manager with its bounds.
type valueCodec struct {
	Codec
	ruleChecker
	plain    bool // Codec is JSON: numbers and simple strings need no codec
	maxDepth int
}

var errNull = errors.New("null in place of a value")

// encode returns the JSON of v, checked.
func (c *valueCodec) encode(name string, v any) ([]byte, error) {
	raw, err := c.Marshal(v)
	if err != nil {
		return nil, &ValueError{Key: name, Err: err}
	}
	return raw, c.checkDepth(name, raw)
}

// decode is the way of all values that have no shorter one.
func (c *valueCodec) decode(name string, raw []byte, v any) error {
	if err := c.checkDepth(name, raw); err != nil {
		return err
	}
	if string(bytes.TrimSpace(raw)) == "null" && !isNullable(reflect.TypeOf(v).Elem()) {
		return &ValueError{Key: name, Err: errNull}
	}
	if err := c.Unmarshal(raw, v); err != nil {
		return &ValueError{Key: name, Err: err}
	}
	return nil
}

// checkDepth counts open brackets outside of strings. The encoders and
// decoders of JSON recurse, some without a bound of their own.
func (c *valueCodec) checkDepth(name string, raw []byte) error {
	if len(raw) <= c.maxDepth || bytes.Count(raw, []byte("{"))+bytes.Count(raw, []byte("[")) <= c.maxDepth {
		return nil // the usual case, at the speed of bytes.Count
	}
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '[' || b == '{':
			if depth++; depth > c.maxDepth {
				return &LimitError{Limit: LimitDepth, Key: name, Max: c.maxDepth, Got: depth}
			}
		case b == ']' || b == '}':
			depth--
		}
	}
	return nil
}

// decodePlain decodes the commonest types without a codec. It declines, rather
// than fails, whatever is not in the form that encodePlain gives it.
func decodePlain(raw []byte, v any) bool {
	switch p := v.(type) {
	case *int:
		n, ok := decodeInt(raw)
		*p = int(n)
		return ok && int64(*p) == n
	case *int64:
		n, ok := decodeInt(raw)
		*p = n
		return ok
	case *string:
		s, ok := decodeString(raw)
		*p = s
		return ok
	case *bool:
		*p = string(raw) == "true"
		return *p || string(raw) == "false"
	}
	return false
}

// encodePlain is the counterpart of decodePlain.
func encodePlain(v any) ([]byte, bool) {
	switch p := v.(type) {
	case *int:
		return strconv.AppendInt(make([]byte, 0, 8), int64(*p), 10), true
	case *int64:
		return strconv.AppendInt(make([]byte, 0, 8), *p, 10), true
	case *string:
		if !isSimple(*p) {
			return nil, false
		}
		out := make([]byte, 0, len(*p)+2)
		out = append(out, '"')
		out = append(out, *p...)
		return append(out, '"'), true
	case *bool:
		return strconv.AppendBool(make([]byte, 0, 5), *p), true
	}
	return nil, false
}

func decodeInt(raw []byte) (int64, bool) {
	digits := raw
	negative := len(raw) > 0 && raw[0] == '-'
	if negative {
		digits = raw[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && (len(digits) > 1 || negative) {
		return 0, false // 18 digits cannot overflow; -0 is left to the codec
	}
	var n int64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = 10*n + int64(d-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

func decodeString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	s := string(raw[1 : len(raw)-1])
	return s, isSimple(s)
}

// isSimple reports whether JSON writes s as it is: printable ASCII without
// quotes, and without what encoding/json escapes for HTML.
func isSimple(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			return false
		case c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			return false
		}
	}
	return true
}

// isNullable reports whether a T may hold JSON's null. A type that decodes
// itself decides itself; time.Time would take null for nothing to do.
func isNullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Interface:
		return true
	}
	return t != timeType && reflect.PointerTo(t).Implements(unmarshalerType)
}

// probe tries a codec on values that the broken ones are known to fail on.
func probe(c Codec) error {
	type inner struct {
		A int            `json:"a"`
		M map[string]int `json:"m"`
	}
	in := inner{A: math.MaxInt32, M: map[string]int{}}
	for i := range 20 {
		in.M["k"+strconv.Itoa(i)] = i
	}
	first, err := c.Marshal(in)
	if err != nil {
		return fmt.Errorf("codec cannot encode a struct: %w", err)
	}
	if !json.Valid(first) {
		return errors.New("codec does not encode to JSON")
	}
	for range 10 {
		again, err := c.Marshal(in)
		if err != nil || !bytes.Equal(first, again) {
			return errors.New("codec is not deterministic: one map was encoded in two ways")
		}
	}
	var out inner
	if err := c.Unmarshal(first, &out); err != nil {
		return fmt.Errorf("codec cannot decode what it encoded: %w", err)
	}
	if !reflect.DeepEqual(in, out) {
		return errors.New("codec decodes another value than it encoded")
	}
	if err := c.Unmarshal([]byte(`{"a":"x"}`), new(inner)); err == nil {
		return errors.New("codec decodes a string into an int without an error")
	}
	raw := []byte(`{"a":[1,2,{"b":null}]}`)
	if again, err := c.Marshal(json.RawMessage(raw)); err != nil || !bytes.Equal(raw, again) {
		return errors.New("codec does not keep a json.RawMessage as it is")
	}
	return nil
}
