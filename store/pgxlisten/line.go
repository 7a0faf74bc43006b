package pgxlisten

import (
	"context"
	"net"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// line is what one listener has dialed. pgx closes a broken connection in the
// background, for up to 15 seconds, and dials a second one for it: cut ends all
// that at once.
type line struct {
	ctx    context.Context // of what is dialed; ends with the listener's, or by cut
	cancel context.CancelFunc
	dial   pgconn.DialFunc

	mu    sync.Mutex
	conns []net.Conn
	over  bool
}

func (l *line) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	conn, err := l.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		_ = conn.Close() // nobody has used it
		return nil, net.ErrClosed
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

// hangUp ends the connection: it says goodbye where the server still listens.
func (l *line) hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), hangUpTime)
	defer cancel()
	_ = conn.Close(ctx) // it is over, however that went
	l.cut()
	<-conn.PgConn().CleanupDone()
}

// cut closes what is left, and lets nothing be dialed any more.
func (l *line) cut() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, conn := range l.conns {
		_ = conn.Close() // mostly the second time
	}
	l.conns = nil
}
