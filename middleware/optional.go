package middleware

import (
	"bufio"
	"io"
	"net"
	"net/http"
)

// A writer shows exactly the optional interfaces of the one beneath: code that
// finds http.Flusher on it relies on flushing. There is one type for each
// combination, all of one pointer, so that choosing one allocates nothing.
type (
	wF    struct{ *writer }
	wH    struct{ *writer }
	wFH   struct{ *writer }
	wR    struct{ *writer }
	wFR   struct{ *writer }
	wHR   struct{ *writer }
	wFHR  struct{ *writer }
	wP    struct{ *writer }
	wFP   struct{ *writer }
	wHP   struct{ *writer }
	wFHP  struct{ *writer }
	wRP   struct{ *writer }
	wFRP  struct{ *writer }
	wHRP  struct{ *writer }
	wFHRP struct{ *writer }
)

func (w wF) Flush()                                           { w.flush() }
func (w wH) Hijack() (net.Conn, *bufio.ReadWriter, error)     { return w.hijack() }
func (w wFH) Flush()                                          { w.flush() }
func (w wFH) Hijack() (net.Conn, *bufio.ReadWriter, error)    { return w.hijack() }
func (w wR) ReadFrom(src io.Reader) (int64, error)            { return w.readFrom(src) }
func (w wFR) Flush()                                          { w.flush() }
func (w wFR) ReadFrom(src io.Reader) (int64, error)           { return w.readFrom(src) }
func (w wHR) Hijack() (net.Conn, *bufio.ReadWriter, error)    { return w.hijack() }
func (w wHR) ReadFrom(src io.Reader) (int64, error)           { return w.readFrom(src) }
func (w wFHR) Flush()                                         { w.flush() }
func (w wFHR) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return w.hijack() }
func (w wFHR) ReadFrom(src io.Reader) (int64, error)          { return w.readFrom(src) }
func (w wP) Push(target string, o *http.PushOptions) error    { return w.push(target, o) }
func (w wFP) Flush()                                          { w.flush() }
func (w wFP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w wHP) Hijack() (net.Conn, *bufio.ReadWriter, error)    { return w.hijack() }
func (w wHP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w wFHP) Flush()                                         { w.flush() }
func (w wFHP) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return w.hijack() }
func (w wFHP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w wRP) ReadFrom(src io.Reader) (int64, error)           { return w.readFrom(src) }
func (w wRP) Push(target string, o *http.PushOptions) error   { return w.push(target, o) }
func (w wFRP) Flush()                                         { w.flush() }
func (w wFRP) ReadFrom(src io.Reader) (int64, error)          { return w.readFrom(src) }
func (w wFRP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w wHRP) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return w.hijack() }
func (w wHRP) ReadFrom(src io.Reader) (int64, error)          { return w.readFrom(src) }
func (w wHRP) Push(target string, o *http.PushOptions) error  { return w.push(target, o) }
func (w wFHRP) Flush()                                        { w.flush() }
func (w wFHRP) Hijack() (net.Conn, *bufio.ReadWriter, error)  { return w.hijack() }
func (w wFHRP) ReadFrom(src io.Reader) (int64, error)         { return w.readFrom(src) }
func (w wFHRP) Push(target string, o *http.PushOptions) error { return w.push(target, o) }

// withInterfaces returns x with the optional interfaces of the writer beneath.
func (x *writer) withInterfaces() http.ResponseWriter {
	_, flusher := x.inner.(http.Flusher)
	_, readerFrom := x.inner.(io.ReaderFrom)
	_, pusher := x.inner.(http.Pusher)
	which := 0
	for bit, has := range [...]bool{flusher, canHijack(x.inner), readerFrom, pusher} {
		if has {
			which |= 1 << bit
		}
	}
	switch which {
	case 1:
		return wF{x}
	case 2:
		return wH{x}
	case 3:
		return wFH{x}
	case 4:
		return wR{x}
	case 5:
		return wFR{x}
	case 6:
		return wHR{x}
	case 7:
		return wFHR{x}
	case 8:
		return wP{x}
	case 9:
		return wFP{x}
	case 10:
		return wHP{x}
	case 11:
		return wFHP{x}
	case 12:
		return wRP{x}
	case 13:
		return wFRP{x}
	case 14:
		return wHRP{x}
	case 15:
		return wFHRP{x}
	default:
		return x
	}
}

// canHijack looks beneath other wrappers too, as http.ResponseController does:
// it must not find a Hijack that goes round the gate.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch u := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = u.Unwrap()
		default:
			return false
		}
	}
}
