package pgxlisten_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// server speaks as much of PostgreSQL's protocol as a listener hears, in memory, so
// that it works in a bubble of testing/synctest.
type server struct {
	mute   bool                             // it takes connections and says nothing
	refuse error                            // of dialing
	answer func(s *session, q string) error // to a statement; nil: that it is done

	mu       sync.Mutex
	sessions []*session
	hole     bool // whatever is sent to it is lost
}

// errLost says that there is no answer.
var errLost = errors.New("lost")

// session is one connection to a server.
type session struct {
	conn net.Conn
	peer *pgproto3.Backend

	mu         sync.Mutex
	statements []string
	goodbye    bool
	ended      bool
}

// dial is how the listener connects.
func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if s.refuse != nil {
		return nil, s.refuse
	}
	hole := s.lost()
	if hole {
		<-ctx.Done() // when it comes about at that very moment
	}
	client, conn := net.Pipe()
	session := &session{conn: conn, peer: pgproto3.NewBackend(conn, conn)}
	s.mu.Lock()
	s.sessions = append(s.sessions, session)
	s.mu.Unlock()
	go func() {
		defer func() { _ = conn.Close() }()
		defer session.end()
		if s.mute || hole {
			_, _ = io.Copy(io.Discard, conn) // until the client gives up
			return
		}
		session.serve(s)
	}()
	return client, nil
}

// all returns the connections that were made so far.
func (s *server) all() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sessions)
}

func (s *session) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

func (s *session) serve(of *server) {
	if m, err := s.peer.ReceiveStartupMessage(); err != nil {
		return
	} else if _, ok := m.(*pgproto3.StartupMessage); !ok {
		return
	}
	if s.say(&pgproto3.AuthenticationOk{}, &pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}},
		&pgproto3.ReadyForQuery{TxStatus: 'I'}) != nil {
		return
	}
	for {
		m, err := s.peer.Receive()
		if err != nil {
			return
		}
		if of.lost() {
			_, _ = io.Copy(io.Discard, s.conn)
			return
		}
		switch m := m.(type) {
		case *pgproto3.Terminate:
			s.mu.Lock()
			s.goodbye = true
			s.mu.Unlock()
			return
		case *pgproto3.Query:
			s.mu.Lock()
			s.statements = append(s.statements, m.String)
			s.mu.Unlock()
			var refused *pgproto3.ErrorResponse
			if of.answer != nil {
				err := of.answer(s, m.String)
				if errors.Is(err, errLost) {
					_, _ = io.Copy(io.Discard, s.conn)
					return
				}
				if err != nil {
					refused = &pgproto3.ErrorResponse{Severity: "ERROR", Code: "25006", Message: err.Error()}
				}
			}
			if refused != nil {
				err = s.say(refused, &pgproto3.ReadyForQuery{TxStatus: 'I'})
			} else {
				err = s.say(&pgproto3.CommandComplete{CommandTag: []byte("LISTEN")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
			}
			if err != nil {
				return
			}
		}
	}
}

// say sends messages, which the client may get in pieces.
func (s *session) say(all ...pgproto3.BackendMessage) error {
	var b []byte
	for _, m := range all {
		var err error
		if b, err = m.Encode(b); err != nil {
			return err
		}
	}
	_, err := s.conn.Write(b)
	return err
}

func (s *session) notify(channel, payload string) error {
	return s.say(&pgproto3.NotificationResponse{PID: 2, Channel: channel, Payload: payload})
}

func (s *session) heard() (statements []string, goodbye, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statements, s.goodbye, s.ended
}

// lose makes a black hole of the server.
func (s *server) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hole = true
}

func (s *server) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hole
}

const password = "hunter2-hunter2"

// config returns a configuration that leads to s.
func (s *server) config(t *testing.T) *pgx.ConnConfig {
	t.Helper()
	config, err := pgx.ParseConfig("postgres://web:" + password + "@db.example:5432/shop?sslmode=disable")
	require.NoError(t, err)
	config.DialFunc = s.dial
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	return config
}

// hearing is one call of a listener.
type hearing struct {
	cancel context.CancelFunc
	ended  chan error

	mu    sync.Mutex
	ready int
	heard []string
}

// hear calls a listener in the bubble of the test.
func hear(t *testing.T, l sqlstore.Listener, channel string) *hearing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &hearing{cancel: cancel, ended: make(chan error, 1)}
	go func() {
		h.ended <- l(ctx, channel, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ready++
		}, func(payload string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.heard = append(h.heard, payload)
		})
	}()
	return h
}

func (h *hearing) was() (ready int, heard []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready, h.heard
}

// end ends the call as its context does.
func (h *hearing) end(t *testing.T) {
	t.Helper()
	h.cancel()
	err := <-h.ended
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}
