package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxAnswer is more than the answers to the questions of this package have.
const maxAnswer = 1 << 20

// tell gives a Redis server a command that is answered with OK.
func (s *Server) tell(ctx context.Context, args ...string) error {
	answer, err := s.ask(ctx, args...)
	if err == nil && answer != "OK" {
		err = fmt.Errorf("%s was answered with %q", args[0], answer)
	}
	return err
}

// ask gives a Redis server a command on a connection of its own, and returns its
// answer, which is one string.
func (s *Server) ask(ctx context.Context, args ...string) (answer string, err error) {
	conn, err := dial(ctx, s)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	if _, err := io.WriteString(conn, b.String()); err != nil {
		return "", err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSuffix(line[1:], "\r\n")
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", fmt.Errorf("%s was refused: %s", strings.Join(args[:min(2, len(args))], " "), rest)
	case '$':
		size, err := strconv.Atoi(rest)
		if err != nil || size < 0 || size > maxAnswer {
			return "", fmt.Errorf("%s was answered with %q", args[0], line)
		}
		text := make([]byte, size)
		_, err = io.ReadFull(r, text)
		return string(text), err
	default:
		return "", fmt.Errorf("%s was answered with %q", args[0], line)
	}
}
