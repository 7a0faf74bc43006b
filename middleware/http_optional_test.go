package middleware_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/spy"
)

// bareWriter is a response writer without optional interfaces that notes what
// reaches it, together with the state of the store at that time.
type bareWriter struct {
	g      *gate
	header http.Header
	events []writerEvent
}

type writerEvent struct {
	what   string
	stored int // sessions in the store
	cookie bool
}

func newBareWriter(g *gate) *bareWriter { return &bareWriter{g: g, header: http.Header{}} }

func (b *bareWriter) note(what string) {
	b.events = append(b.events, writerEvent{what, b.g.mem.Len(), b.header.Get("Set-Cookie") != ""})
}

func (b *bareWriter) Header() http.Header { return b.header }
func (b *bareWriter) WriteHeader(n int)   { b.note(fmt.Sprint("WriteHeader ", n)) }

func (b *bareWriter) Write(p []byte) (int, error) {
	b.note("Write " + string(p))
	return len(p), nil
}

// took returns the only event.
func (b *bareWriter) took(t *testing.T, what string) {
	t.Helper()
	require.Equal(t, []writerEvent{{what, 1, true}}, b.events)
}

// The optional interfaces, each of which notes that it was used.
type (
	flushPart struct{ b *bareWriter }
	hijack    struct{ b *bareWriter }
	readPart  struct{ b *bareWriter }
	pushPart  struct{ b *bareWriter }
)

var errHijacked = errors.New("there is no connection")

func (p flushPart) Flush() { p.b.note("Flush") }
func (p hijack) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	p.b.note("Hijack")
	return nil, nil, errHijacked
}

func (p readPart) ReadFrom(r io.Reader) (int64, error) {
	all, err := io.ReadAll(r)
	p.b.note("ReadFrom " + string(all))
	return int64(len(all)), err
}

func (p pushPart) Push(target string, _ *http.PushOptions) error {
	p.b.events = append(p.b.events, writerEvent{what: "Push " + target})
	return nil
}

const (
	canFlush = 1 << iota
	canHijack
	canReadFrom
	canPush
	combinations = 1 << iota
)

// combined returns b with some optional interfaces.
func (b *bareWriter) combined(which int) http.ResponseWriter {
	f, h, r, p := flushPart{b}, hijack{b}, readPart{b}, pushPart{b}
	switch which {
	case 0:
		return b
	case canFlush:
		return struct {
			*bareWriter
			flushPart
		}{b, f}
	case canHijack:
		return struct {
			*bareWriter
			hijack
		}{b, h}
	case canFlush | canHijack:
		return struct {
			*bareWriter
			flushPart
			hijack
		}{b, f, h}
	case canReadFrom:
		return struct {
			*bareWriter
			readPart
		}{b, r}
	case canFlush | canReadFrom:
		return struct {
			*bareWriter
			flushPart
			readPart
		}{b, f, r}
	case canHijack | canReadFrom:
		return struct {
			*bareWriter
			hijack
			readPart
		}{b, h, r}
	case canFlush | canHijack | canReadFrom:
		return struct {
			*bareWriter
			flushPart
			hijack
			readPart
		}{b, f, h, r}
	case canPush:
		return struct {
			*bareWriter
			pushPart
		}{b, p}
	case canFlush | canPush:
		return struct {
			*bareWriter
			flushPart
			pushPart
		}{b, f, p}
	case canHijack | canPush:
		return struct {
			*bareWriter
			hijack
			pushPart
		}{b, h, p}
	case canFlush | canHijack | canPush:
		return struct {
			*bareWriter
			flushPart
			hijack
			pushPart
		}{b, f, h, p}
	case canReadFrom | canPush:
		return struct {
			*bareWriter
			readPart
			pushPart
		}{b, r, p}
	case canFlush | canReadFrom | canPush:
		return struct {
			*bareWriter
			flushPart
			readPart
			pushPart
		}{b, f, r, p}
	case canHijack | canReadFrom | canPush:
		return struct {
			*bareWriter
			hijack
			readPart
			pushPart
		}{b, h, r, p}
	default:
		return struct {
			*bareWriter
			flushPart
			hijack
			readPart
			pushPart
		}{b, f, h, r, p}
	}
}

// shown returns the optional interfaces of w, not of those beneath it.
func shown(w http.ResponseWriter) (which int) {
	if _, ok := w.(http.Flusher); ok {
		which |= canFlush
	}
	if _, ok := w.(http.Hijacker); ok {
		which |= canHijack
	}
	if _, ok := w.(io.ReaderFrom); ok {
		which |= canReadFrom
	}
	if _, ok := w.(http.Pusher); ok {
		which |= canPush
	}
	return which
}

// through runs a handler on w for a first visitor who changes the session.
func (g *gate) through(w http.ResponseWriter, h func(w http.ResponseWriter)) {
	g.t.Helper()
	g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateIncrement(g.t, r)
		h(w)
	})).ServeHTTP(w, g.request(""))
}

// TestOptionalInterfaces: the handler's writer has exactly the optional
// interfaces of the writer beneath, each does what it is for, and none starts
// the response before the commit.
func TestOptionalInterfaces(t *testing.T) {
	t.Parallel()
	for which := range combinations {
		t.Run(fmt.Sprintf("%04b", which), func(t *testing.T) {
			t.Parallel()
			require.Equal(t, which, shown(newBareWriter(nil).combined(which)), "the test itself")
			use := func(h func(w http.ResponseWriter)) *bareWriter {
				g := newGate(t)
				b := newBareWriter(g)
				g.through(b.combined(which), h)
				return b
			}
			use(func(w http.ResponseWriter) { assert.Equal(t, which, shown(w)) })

			use(func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }).took(t, "WriteHeader 418")
			use(func(w http.ResponseWriter) { _, _ = w.Write([]byte("x")) }).took(t, "Write x")
			use(func(w http.ResponseWriter) { _, _ = io.WriteString(w, "x") }).took(t, "Write x")

			if which&canFlush != 0 {
				use(func(w http.ResponseWriter) { w.(http.Flusher).Flush() }).took(t, "Flush")
				use(func(w http.ResponseWriter) {
					assert.NoError(t, http.NewResponseController(w).Flush())
				}).took(t, "Flush")
			} else {
				b := use(func(w http.ResponseWriter) {
					assert.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrNotSupported)
					assert.ErrorIs(t, w.(interface{ FlushError() error }).FlushError(), http.ErrNotSupported)
				})
				require.Empty(t, b.events)
			}
			if which&canHijack != 0 {
				use(func(w http.ResponseWriter) {
					_, _, err := w.(http.Hijacker).Hijack()
					assert.ErrorIs(t, err, errHijacked)
				}).took(t, "Hijack")
				use(func(w http.ResponseWriter) {
					_, _, err := http.NewResponseController(w).Hijack()
					assert.ErrorIs(t, err, errHijacked)
				}).took(t, "Hijack")
			} else {
				b := use(func(w http.ResponseWriter) {
					_, _, err := http.NewResponseController(w).Hijack()
					assert.ErrorIs(t, err, http.ErrNotSupported)
				})
				require.Empty(t, b.events)
			}
			copied := "Write x"
			if which&canReadFrom != 0 {
				copied = "ReadFrom x"
			}
			use(func(w http.ResponseWriter) {
				n, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("x")})
				assert.NoError(t, err)
				assert.EqualValues(t, 1, n)
			}).took(t, copied)
			if which&canPush != 0 { // another response: this one has not begun
				b := use(func(w http.ResponseWriter) {
					assert.NoError(t, w.(http.Pusher).Push("/style.css", nil))
					w.WriteHeader(http.StatusOK)
				})
				require.Equal(t, []writerEvent{{what: "Push /style.css"}, {"WriteHeader 200", 1, true}}, b.events)
			}
		})
	}
}

// TestInterfacesBeneathWrappers: http.ResponseController looks beneath other
// wrappers, and whatever it finds there must not go round the gate.
func TestInterfacesBeneathWrappers(t *testing.T) {
	t.Parallel()
	for depth := 1; depth <= 3; depth++ {
		for which := range combinations {
			t.Run(fmt.Sprintf("%d/%04b", depth, which), func(t *testing.T) {
				t.Parallel()
				use := func(h func(w http.ResponseWriter)) *bareWriter {
					g := newGate(t)
					b := newBareWriter(g)
					w := b.combined(which)
					for range depth {
						w = hidden{w}
					}
					g.through(w, h)
					return b
				}
				use(func(w http.ResponseWriter) {
					assert.Equal(t, which&canHijack, shown(w), "only Hijack shows through Unwrap")
				})
				if which&canHijack != 0 {
					use(func(w http.ResponseWriter) { _, _, _ = w.(http.Hijacker).Hijack() }).took(t, "Hijack")
					use(func(w http.ResponseWriter) { _, _, _ = http.NewResponseController(w).Hijack() }).took(t, "Hijack")
				}
				if which&canFlush != 0 {
					use(func(w http.ResponseWriter) {
						assert.NoError(t, http.NewResponseController(w).Flush())
					}).took(t, "Flush")
				} else {
					use(func(w http.ResponseWriter) {
						assert.ErrorIs(t, http.NewResponseController(w).Flush(), http.ErrNotSupported)
					})
				}
			})
		}
	}
}

// deadlines is a writer that http.ResponseController can do everything with.
type deadlines struct {
	*bareWriter
	flushPart
	hijack
}

func (d deadlines) SetReadDeadline(time.Time) error  { d.note("SetReadDeadline"); return nil }
func (d deadlines) SetWriteDeadline(time.Time) error { d.note("SetWriteDeadline"); return nil }
func (d deadlines) EnableFullDuplex() error          { d.note("EnableFullDuplex"); return nil }

// TestResponseController calls every method that the controller has: those
// that begin the response commit, the others reach the writer beneath and leave
// the session open. A method that a later Go adds fails here until somebody has
// looked at it.
func TestResponseController(t *testing.T) {
	t.Parallel()
	commits := map[string]bool{
		"Flush": true, "Hijack": true,
		"EnableFullDuplex": false, "SetReadDeadline": false, "SetWriteDeadline": false,
	}
	methods := reflect.TypeFor[*http.ResponseController]()
	for method := range methods.Methods() {
		name := method.Name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begins, known := commits[name]
			require.True(t, known, "does it begin the response?")
			g := newGate(t)
			b := newBareWriter(g)
			g.through(deadlines{b, flushPart{b}, hijack{b}}, func(w http.ResponseWriter) {
				call := reflect.ValueOf(http.NewResponseController(w)).MethodByName(name)
				var args []reflect.Value
				for in := range call.Type().Ins() {
					args = append(args, reflect.Zero(in))
				}
				out := call.Call(args)
				if err, _ := reflect.TypeAssert[error](out[len(out)-1]); name != "Hijack" {
					assert.NoError(t, err)
				}
				assert.Equal(t, begins, slices.Contains(g.spy.Calls(), spy.Insert))
			})
			want := writerEvent{what: name}
			if begins {
				want = writerEvent{name, 1, true}
			}
			require.Equal(t, []writerEvent{want}, b.events)
		})
	}
	require.Equal(t, len(commits), methods.NumMethod())
}

// TestControllerOnAServer uses what does not begin the response for real.
func TestControllerOnAServer(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	var timedOut error
	srv := gateServer(t, g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Minute)))
		assert.NoError(t, c.EnableFullDuplex())
		assert.NoError(t, c.SetReadDeadline(time.Now().Add(-time.Second)))
		_, timedOut = io.ReadAll(r.Body)
		gateIncrement(t, r)
	})), &gateListener{})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1000\r\n\r\nnot all of it")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	issuedCookie(t, &gateAnswer{Header: res.Header})
	require.ErrorContains(t, timedOut, "timeout", "the deadline reached the connection")
}
