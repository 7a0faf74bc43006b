package redisstore

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// ReplicasError says that a deletion has been done, or an entry made in the list of
// an owner, and that fewer replicas than
// WithWait asks for said in time that they have it. It may be lost if the master
// is lost now. Deleting again waits again: Manager.Revoke and RevokeOwner do, a
// second Destroy does not, for the visitor has no session any more.
type ReplicasError struct {
	Asked int // at least one
	Got   int // fewer
}

// Error implements error.
func (e *ReplicasError) Error() string {
	return fmt.Sprintf("it is done, and %d of %d replicas have that", e.Got, e.Asked)
}

// maxRedirects is how often a key may have moved to another node.
const maxRedirects = 5

// runAndWait runs a script for keys, then waits for replicas. It returns the
// replies that there are, also with an error; the scripts may be run again.
//
// WAIT is about what its own connection has written, so both go in one pipeline to
// one master. Where a script has nothing to delete it writes all the same: what
// it should have deleted may be gone on the master alone, through another
// connection, and Redis from 7.2 on does not wait for that otherwise.
func (s *Store) runAndWait(ctx context.Context, sc *script, r repetition, keys []string, args ...any) ([]*redis.Cmd, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		client, ok := s.client.(*redis.Client)
		if !ok {
			return nil, unexpected(s.client) // New has seen to it
		}
		return s.pipelineAndWait(ctx, client, nil, sc, r, keys, args)
	}
	// On a cluster keys have different masters. What comes after an error is not run.
	var all []*redis.Cmd
	for _, key := range keys {
		cmds, err := s.redirected(ctx, cluster, sc, r, key, args)
		all = append(all, cmds...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// redirected sends the pipeline for a key to its master, and to others as the
// nodes say.
func (s *Store) redirected(
	ctx context.Context, cluster *redis.ClusterClient, sc *script, r repetition, key string, args []any,
) ([]*redis.Cmd, error) {
	master, err := cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, err
	}
	var ask *redis.Cmd
	for redirects := 0; ; redirects++ {
		cmds, err := s.pipelineAndWait(ctx, master, ask, sc, r, []string{key}, args)
		if err == nil || redirects == maxRedirects {
			return cmds, err
		}
		ask = nil
		addr, moved := redis.IsMovedError(err)
		if !moved {
			var asked bool
			if addr, asked = redis.IsAskError(err); !asked {
				return cmds, err
			}
			ask = redis.NewCmd(ctx, "asking")
		}
		if master = masterAt(ctx, cluster, addr); master == nil {
			// A node without slots of its own, as one that joins: the client follows, and
			// nobody can wait there.
			cmd := s.evalCommand(ctx, sc, key, args...)
			_ = cluster.Process(ctx, r.command(cmd)) // the command has the error
			if err := cmd.Err(); err != nil {
				return []*redis.Cmd{cmd}, err
			}
			return []*redis.Cmd{cmd}, &ReplicasError{Asked: s.config.wait.replicas}
		}
	}
}

// masterAt returns the client of a node, or nil.
func masterAt(ctx context.Context, cluster *redis.ClusterClient, addr string) (found *redis.Client) {
	var mu sync.Mutex
	// It asks the nodes who they are, as of now.
	_ = cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		if c.Options().Addr == addr {
			mu.Lock()
			defer mu.Unlock()
			found = c
		}
		return nil
	})
	return found
}

func (s *Store) pipelineAndWait(
	ctx context.Context, c *redis.Client, before *redis.Cmd, sc *script, r repetition, keys []string, args []any,
) ([]*redis.Cmd, error) {
	pipe := c.Pipeline()
	if before != nil {
		_ = pipe.Process(ctx, before) // it is sent by Exec
	}
	cmds := make([]*redis.Cmd, len(keys))
	for i, key := range keys {
		cmds[i] = s.evalCommand(ctx, sc, key, args...)
		_ = pipe.Process(ctx, r.command(cmds[i]))
	}
	w := s.config.wait
	waited := redis.NewIntCmd(ctx, "wait", w.replicas, w.timeout.Milliseconds())
	_ = pipe.Process(ctx, waited)
	_, _ = pipe.Exec(ctx) // the commands have the errors
	if err := worst(cmds); err != nil {
		return cmds, err
	}
	if err := waited.Err(); err != nil {
		// It is done, so this must not pass for a refusal.
		return cmds, fmt.Errorf("waiting for replicas: %w", hiddenError{err})
	}
	if got := int(waited.Val()); got < w.replicas {
		return cmds, &ReplicasError{Asked: w.replicas, Got: got}
	}
	return cmds, nil
}

// hiddenError hides what kind of error the driver had.
type hiddenError struct{ err error }

func (e hiddenError) Error() string { return e.err.Error() }
