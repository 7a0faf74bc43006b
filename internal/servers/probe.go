package servers

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// dial connects to a server. The connection ends with the context's deadline.
func dial(ctx context.Context, s *Server) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

// probePostgres logs in. A server that is still starting answers with an error.
func probePostgres(ctx context.Context, s *Server) (err error) {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// Length, version 3.0, parameters.
	const hello = "\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00"
	if _, err := io.WriteString(conn, hello); err != nil {
		return err
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint32(head[1:])) - 4
		if size < 0 || size > 1<<16 {
			return errors.New("not PostgreSQL")
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(conn, text); err != nil {
			return err
		}
		switch head[0] {
		case 'E':
			return fmt.Errorf("refused: %q", text)
		case 'Z': // ready for a query
			_, err := conn.Write([]byte{'X', 0, 0, 0, 4})
			return err
		}
	}
}

// probeMariaDB waits for the greeting.
func probeMariaDB(ctx context.Context, s *Server) (err error) {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var head [5]byte // length, sequence, version of the protocol
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if head[4] != 10 {
		return fmt.Errorf("refused: %v", head)
	}
	return nil
}

func probeRedis(ctx context.Context, s *Server) (err error) {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	var answer [5]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if string(answer[:]) != "+PONG" {
		return fmt.Errorf("refused: %q", answer)
	}
	return nil
}
