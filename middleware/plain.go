package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
)

// plainWatch notices the commonest mistake of a first deployment: secure cookies
// over plain HTTP, which browsers drop without a word.
type plainWatch struct {
	done  atomic.Bool // a cookie came back, or the warning was given
	count atomic.Int32
}

// suspicious is how many cookies are sent, with none coming back, before the
// warning: a few visitors may have come for the first time.
const suspicious = 3

func (p *plainWatch) cameBack() {
	if !p.done.Load() {
		p.done.Store(true)
	}
}

func (p *plainWatch) issued(mw *Middleware, r *http.Request) {
	if p.done.Load() || mw.cfg.Insecure || r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" || isLoopback(r.Host) {
		return
	}
	if p.count.Add(1) < suspicious || !p.done.CompareAndSwap(false, true) {
		return
	}
	mw.cfg.Logger.WarnContext(r.Context(), "session cookies are not coming back: browsers drop secure cookies over plain HTTP. "+
		"Serve over HTTPS, or for development only set middleware.Config.Insecure. Behind a proxy that ends TLS, ignore this.",
		"cookie", mw.cfg.Name, "host", r.Host)
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
