package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// fldFuzzed has one field of each kind that decodes in a way of its own, so that one
// stored text is tried on all of them.
type fldFuzzed struct {
	Custom fldCustom   `json:"custom"`
	Inner  fldInner    `json:"inner"`
	Omit   fldOmit     `json:"omit"`
	Refs   fldRefs     `json:"refs"`
	Scalar fldScalars  `json:"scalar"`
	Std    fldStd      `json:"std"`
	Tree   fldTree     `json:"tree"`
	Any    any         `json:"any"`
	B      bool        `json:"b"`
	Bytes  []byte      `json:"bytes"`
	F      float32     `json:"f"`
	I      int         `json:"i"`
	M      map[int]int `json:"m"`
	Num    json.Number `json:"num"`
	S      string      `json:"s"`

	Other int `json:"other"`
}

// FuzzStructField plants bytes as the value of one field: that field is read or
// refused, and an Update of another one never touches them.
func FuzzStructField(f *testing.F) {
	fields := []string{"custom", "inner", "omit", "refs", "scalar", "std", "tree", "any", "b", "bytes", "f", "i", "m", "num", "s"}
	for i := range fields {
		for _, seed := range []string{
			"null", " 1 ", "1.0", "-0", "1e3", `"1"`, `"\ud800"`, `""`, "", "true", "tru", "[]", "[1,2]", "{}", `{"a":`, `{"1":1,"1":2}`, `{"A":1,"a":2,"b":"x"}`,
			`"AQID"`, `"2026-01-02T03:04:05Z"`, `{"name":"x","next":{"name":"y","kids":[{}]}}`, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\x00", "\xff", `{"t":"0000-01-01T00:00:00Z"}`, "nulL", "1 2",
		} {
			f.Add(byte(i), []byte(seed))
		}
	}
	s := memory.New()
	m := newManager(f, on(s))
	all := session.Struct[fldFuzzed]()
	f.Fuzz(func(t *testing.T, field byte, data []byte) {
		name := fields[int(field)%len(fields)]
		vis := newVisitor(t, m)
		vis.plant(s, name, string(data))
		var readable bool
		vis.request(func(ctx context.Context) {
			got, ok, err := all.Lookup(ctx)
			require.Equal(t, err == nil, ok)
			if readable = err == nil; readable {
				return
			}
			require.Zero(t, got, "half a value")
			var value *session.ValueError
			var limit *session.LimitError
			switch {
			case errors.As(err, &value):
				require.Equal(t, name, value.Key)
			case errors.As(err, &limit):
				require.Equal(t, name, limit.Key)
			default:
				t.Fatalf("%T: %v", err, err)
			}
			require.Error(t, all.Set(ctx, fldFuzzed{}), "what could not be read is not overwritten")
		})
		want := map[string]string{"planted": "true", name: string(data)}
		require.Equal(t, want, vis.stored(s))
		vis.request(func(ctx context.Context) {
			_, err := all.Update(ctx, func(v *fldFuzzed) error { v.Other = 1; return nil })
			if !readable {
				require.Error(t, err)
			}
			if err == nil {
				want["other"] = "1"
			}
		})
		require.Equal(t, want, vis.stored(s))
	})
}
