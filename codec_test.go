package session_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// codec is a Codec of two functions; nil ones are those of encoding/json.
type codec struct {
	marshal   func(v any) ([]byte, error)
	unmarshal func(data []byte, v any) error
}

func (c codec) Marshal(v any) ([]byte, error) {
	if c.marshal == nil {
		return json.Marshal(v)
	}
	return c.marshal(v)
}

func (c codec) Unmarshal(data []byte, v any) error {
	if c.unmarshal == nil {
		return json.Unmarshal(data, v)
	}
	return c.unmarshal(data, v)
}

func gobMarshal(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func gobUnmarshal(data []byte, v any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(v)
}

func TestCodecsThatAreRefused(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	for name, test := range map[string]struct {
		codec session.Codec
		says  string
	}{
		"gob":             {codec{gobMarshal, gobUnmarshal}, "codec does not encode to JSON"},
		"cannot encode":   {codec{marshal: func(any) ([]byte, error) { return nil, errTest }}, "codec cannot encode a struct"},
		"cannot decode":   {codec{unmarshal: func([]byte, any) error { return errTest }}, "codec cannot decode what it encoded"},
		"cut off":         {codec{marshal: cutOff}, "codec does not encode to JSON"},
		"random order":    {codec{marshal: func(v any) ([]byte, error) { return spaced(v, int(calls.Add(1))) }}, "codec is not deterministic"},
		"fails sometimes": {codec{marshal: func(v any) ([]byte, error) { return failingAfter(v, calls.Add(1)) }}, "codec"},
		"lossy encoding":  {codec{marshal: func(any) ([]byte, error) { return []byte(`{"a":1}`), nil }}, "codec decodes another value than it encoded"},
		"lossy decoding":  {codec{unmarshal: func([]byte, any) error { return nil }}, "codec decodes another value than it encoded"},
		"wrong types":     {codec{unmarshal: ignoresErrors}, "codec decodes a string into an int without an error"},
		"RawMessage":      {codec{marshal: rawAsBytes}, "codec does not keep a json.RawMessage as it is"},
		"RawMessage refused": {codec{marshal: func(v any) ([]byte, error) {
			if _, ok := v.(json.RawMessage); ok {
				return nil, errTest
			}
			return json.Marshal(v)
		}}, "codec does not keep a json.RawMessage as it is"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := session.NewManager(session.Config{Store: memory.New(), Codec: test.codec})
			require.Nil(t, m)
			var config *session.ConfigError
			require.ErrorAs(t, err, &config)
			require.Len(t, config.Problems, 1)
			require.ErrorContains(t, err, test.says)
		})
	}
}

func cutOff(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return b[:len(b)-1], err
}

func spaced(v any, n int) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(bytes.Repeat([]byte(" "), n), b...), err
}

func failingAfter(v any, n int64) ([]byte, error) {
	if n%4 == 3 {
		return nil, errTest
	}
	return json.Marshal(v)
}

func ignoresErrors(data []byte, v any) error {
	_ = json.Unmarshal(data, v)
	return nil
}

func rawAsBytes(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		return json.Marshal([]byte(raw))
	}
	return json.Marshal(v)
}

func TestCodecErrorIsKept(t *testing.T) {
	t.Parallel()
	_, err := session.NewManager(session.Config{Store: memory.New(), Codec: codec{marshal: func(any) ([]byte, error) { return nil, errTest }}})
	require.ErrorIs(t, err, errTest)
}

// TestCustomCodec: a codec of one's own is asked for everything, also for what
// the default has shortcuts for.
func TestCustomCodec(t *testing.T) {
	t.Parallel()
	var encoded, decoded atomic.Int64
	c := codec{
		marshal: func(v any) ([]byte, error) {
			encoded.Add(1)
			return json.Marshal(v)
		},
		unmarshal: func(data []byte, v any) error {
			decoded.Add(1)
			return json.Unmarshal(data, v)
		},
	}
	for name, asPointer := range map[string]bool{"value": false, "pointer": true} {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s), func(cfg *session.Config) {
				if cfg.Codec = c; asPointer {
					cfg.Codec = &c
				}
			}))
			encoded.Store(0)
			decoded.Store(0)
			key := session.Key[string]("k")
			vis.request(func(ctx context.Context) {
				require.NoError(t, key.Set(ctx, "text"))
				require.Equal(t, "text", key.Value(ctx))
				requireValueError(t, "c", session.Key[chan int]("c").Set(ctx, nil))
			})
			require.Equal(t, map[string]string{"k": `"text"`}, vis.stored(s))
			require.Equal(t, []int64{2, 1}, []int64{encoded.Load(), decoded.Load()})
		})
	}
}

// TestDefaultCodecAsPointer: &JSON{} is as good as JSON{}.
func TestDefaultCodecAsPointer(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s), func(cfg *session.Config) { cfg.Codec = &session.JSON{} }))
	vis.request(func(ctx context.Context) {
		require.NoError(t, session.Key[string]("s").Set(ctx, "<a>"))
		_, err := session.Key[int]("n").Update(ctx, func(n *int) error { *n = 7; return nil })
		require.NoError(t, err)
	})
	require.Equal(t, map[string]string{"n": "7", "s": `"\u003ca\u003e"`}, vis.stored(s))
}

// TestCodecErrorNamesTheKey and keeps what the codec said.
func TestCodecErrorNamesTheKey(t *testing.T) {
	t.Parallel()
	vis := newVisitor(t, newManager(t, func(cfg *session.Config) {
		cfg.Codec = codec{marshal: func(v any) ([]byte, error) {
			text, err := json.Marshal(v)
			if string(text) == `"refused"` {
				return nil, errTest
			}
			return text, err
		}}
	}))
	vis.request(func(ctx context.Context) {
		err := session.Key[string]("k").Set(ctx, "refused")
		requireValueError(t, "k", err)
		require.ErrorIs(t, err, errTest)
		require.Contains(t, err.Error(), `"k"`)
	})
}
