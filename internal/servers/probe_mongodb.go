package servers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// probeMongo asks who the server is, without a driver.
func probeMongo(ctx context.Context, s *Server) (err error) {
	conn, err := dial(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	const (
		// {hello: 1, $db: "admin"}
		command = "\x1f\x00\x00\x00\x10hello\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00"
		// Length, number, what it answers, OP_MSG; flags; a section that is a document.
		head = "\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00" + "\x00\x00\x00\x00" + "\x00"
		done = "\x01ok\x00\x00\x00\x00\x00\x00\x00\xf0\x3f" // ok: 1.0
	)
	if _, err := io.WriteString(conn, head+command); err != nil {
		return err
	}
	var length [4]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(length[:])) - int64(len(length))
	if size < 0 || size > 1<<16 {
		return errors.New("not MongoDB")
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(conn, text); err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(done)) {
		return fmt.Errorf("refused: %q", text)
	}
	return nil
}
