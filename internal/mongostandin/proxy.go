package main

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/typedsession/session/internal/mongostandin/wire"
)

// proxy passes commands on to a server, one at a time over all connections.
type proxy struct {
	listener net.Listener
	server   string // its address

	command sync.Mutex // held from a command to its reply
}

func newProxy(l net.Listener, server string) *proxy { return &proxy{listener: l, server: server} }

// serve accepts connections until ctx ends, and returns when all are closed.
func (p *proxy) serve(ctx context.Context) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.listener.Close() })()
	for {
		client, err := p.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil // it was closed here
			}
			return errors.Join(err, p.listener.Close())
		}
		conns.Go(func() {
			defer func() { _ = client.Close() }()
			_ = p.connection(ctx, client) // however it ended, the client sees that it did
		})
	}
}

// connection serves one client until it leaves or ctx ends.
func (p *proxy) connection(ctx context.Context, client net.Conn) error {
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return err
	}
	defer func() { _ = server.Close() }()
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})()
	for {
		m, err := wire.Read(client)
		if err != nil {
			return err
		}
		if m, err = wire.PlainIndexes(m); err != nil {
			return err
		}
		reply, err := p.exchange(server, m)
		if err != nil {
			return err
		}
		if reply == nil {
			continue
		}
		if _, err := client.Write(reply); err != nil {
			return err
		}
	}
}

// exchange sends a command and returns its reply, if it has one. The reply is
// read to its end whatever has become of the client: the server still works on
// the command until then.
func (p *proxy) exchange(server net.Conn, m wire.Message) (wire.Message, error) {
	p.command.Lock()
	defer p.command.Unlock()
	if _, err := server.Write(m); err != nil {
		return nil, err
	}
	if !m.WantsReply() {
		return nil, nil
	}
	return wire.Read(server)
}
