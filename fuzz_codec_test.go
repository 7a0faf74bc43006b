package session

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// The fuzz target is inside because it holds the shortcuts for plain values, which
// have no name outside, to the same judge as the codec: encoding/json.

type fuzzStruct struct {
	A int             `json:"a"`
	B *string         `json:"b,omitempty"`
	C []float64       `json:"c"`
	D map[string]bool `json:"d,omitempty"`
	E any             `json:"e"`
	F time.Time       `json:"f,omitzero"`
	G json.RawMessage `json:"g,omitempty"`
	H [2]uint8        `json:"h"`
	I int             `json:"-"`
	J struct {
		K string `json:"k"`
		L bool
	} `json:"j"`
	M []byte `json:"m"`
}

var codecSeeds = []string{
	``, ` `, `0`, `-0`, `00`, `01`, `-1`, `1.0`, `1e3`, `1E+2`, `1.5`, `-`, `+1`, `.5`, `5.`, `1e`, `0x1`, `1_000`, `007`,
	`999999999999999999`, `1000000000000000000`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`,
	`-9223372036854775809`, `123456789012345678901234567890`, `1e400`, `3.4028235e+38`, `3.4028236e+38`, `1e-400`, `NaN`, `Infinity`,
	` 7`, "7\n", "\t7\r", "7 8", "7,", `7}`, "\ufeff7", "7\x00",
	`true`, `false`, ` true `, `tru`, `True`, `truefalse`, `null`, ` null `, `nul`, `nullx`,
	`""`, `"a"`, `"`, `"a`, `a"`, `"a"b"`, `"a\"b"`, `"\\"`, `"\"`, `"\/"`, `"\b\f\n\r\t"`, `"\u0041"`, `"\u00e9"`, `"\ud83c\udf89"`,
	`"\ud800"`, `"\udc00\ud800"`, `"\u12"`, `"\x41"`, "\"\x01\"", "\"\x7f\"", "\"\xff\"", "\"\xc3\xa9\"", "\"\xed\xa0\x80\"",
	"\"\u2028<>&\"", `"<b>"`, `'a'`, "\"\n\"",
	`[]`, `[ ]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `[null]`, `["a",null]`, `[[[[[]]]]]`, `]`, `[`, `{`, `}`, `{}`, `{ }`,
	`{"a":1}`, `{"a":1,"a":2}`, `{"A":5}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":"x"}`, `{"a":null,"b":null,"c":null,"d":null}`,
	`{"b":"x","c":[1.5,-0,1e2],"d":{"x":true},"e":{"y":[1]},"f":"2024-02-29T23:59:59.999Z","g":{ "z" : 1 },"h":[1,2,3],"j":{"k":"v","l":true},"m":"AAH/"}`,
	`{"h":[256]}`, `{"h":[1]}`, `{"h":null}`, `{"m":"!"}`, `{"m":[1]}`, `{"m":""}`, `{"g":null}`, `{"f":null}`, `{"f":"x"}`, `{"a":1.0}`, `{"I":5,"-":6}`, `{"j":{"L":1}}`,
	`{"":0}`, `{"\u0061":1}`, `{"a\u0000":1}`, "{\"\xff\":1}",
	`"2024-02-29T23:59:59.999999999+02:00"`, `"2023-02-29T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"2024-01-01T00:00:00,5Z"`, `"2024-01-01T24:00:00Z"`, `"2024-1-1T0:00:00Z"`,
	`"\"["`, `["\"[",0]`, `["[[",0]`, `{"a":[{"b":"]}"},"\"[["]}`, `"[[[[[["`, `"\\[[[["`, `["\\",[[[[1]]]]]`,
}

// FuzzCodec gives any input to JSON and to encoding/json: both accept it or
// neither, with the same value, and write the same bytes. Errors differ.
func FuzzCodec(f *testing.F) {
	for _, seed := range codecSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameCodec[int](t, data)
		sameCodec[int64](t, data)
		sameCodec[uint8](t, data)
		sameCodec[bool](t, data)
		sameCodec[string](t, data)
		sameCodec[float64](t, data)
		sameCodec[float32](t, data)
		sameCodec[any](t, data)
		sameCodec[fuzzStruct](t, data)
		sameCodec[map[string]any](t, data)
		sameCodec[map[int]string](t, data)
		sameCodec[[]string](t, data)
		sameCodec[[]byte](t, data)
		sameCodec[json.RawMessage](t, data)
		sameCodec[*int](t, data)
		sameCodec[time.Time](t, data)
		sameText(t, string(data))
		sameDepth(t, data)
	})
}

func sameCodec[T any](t *testing.T, data []byte) {
	var want, got T
	input := bytes.Clone(data)
	wantErr, gotErr := json.Unmarshal(data, &want), JSON{}.Unmarshal(input, &got)
	switch {
	case (wantErr == nil) != (gotErr == nil):
		t.Fatalf("%T from %q: encoding/json says %v, JSON says %v", want, data, wantErr, gotErr)
	case !bytes.Equal(data, input):
		t.Fatalf("%T from %q: the input was changed to %q", want, data, input)
	}
	if plain := new(T); decodePlain(data, plain) && (wantErr != nil || !reflect.DeepEqual(want, *plain)) {
		t.Fatalf("%T from %q: encoding/json says %#v, %v, the shortcut %#v", want, data, want, wantErr, *plain)
	}
	if wantErr != nil {
		return
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%T from %q: encoding/json says %#v, JSON says %#v", want, data, want, got)
	}
	sameBytes(t, want)
	clear(input) // which the value must not refer to
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%T from %q refers to its input", want, data)
	}
}

func sameBytes[T any](t *testing.T, v T) {
	want, wantErr := json.Marshal(v)
	got, gotErr := JSON{}.Marshal(v)
	if (wantErr == nil) != (gotErr == nil) || !bytes.Equal(alike(want), alike(got)) {
		t.Fatalf("%T %#v: encoding/json writes %q, %v, JSON writes %q, %v", v, v, want, wantErr, got, gotErr)
	}
	if plain, ok := encodePlain(&v); ok && !bytes.Equal(want, plain) {
		t.Fatalf("%T %#v: encoding/json writes %q, the shortcut %q", v, v, want, plain)
	}
}

// alike hides the one known difference: with GOEXPERIMENT=jsonv2,
// encoding/json writes what was no UTF-8 as U+FFFD itself and not as its escape.
func alike(text []byte) []byte {
	if writesEscape {
		return text
	}
	return bytes.ReplaceAll(text, []byte(`\ufffd`), []byte("\ufffd"))
}

var writesEscape = func() bool {
	text, err := json.Marshal("\xff")
	return err == nil && string(text) == `"\ufffd"`
}()

// sameText writes any text, also one that no input decodes to.
func sameText(t *testing.T, text string) {
	sameBytes(t, text)
	sameBytes(t, map[string]string{text: text})
	sameBytes(t, any([]any{text}))
	sameBytes(t, []byte(text))
}

// sameDepth counts brackets with a tokenizer.
func sameDepth(t *testing.T, data []byte) {
	if !json.Valid(data) {
		return
	}
	depth, deepest := 0, 0
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
	for _, most := range []int{1, 2, 4} {
		c := valueCodec{Codec: JSON{}, maxDepth: most}
		if err := c.checkDepth("k", data); (err != nil) != (deepest > most) {
			t.Fatalf("%q is %d levels deep, %d are allowed: %v", data, deepest, most, err)
		}
	}
}
