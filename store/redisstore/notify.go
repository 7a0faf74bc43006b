package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
)

// telling is how others hear of a change.
type telling int

const (
	silent   telling = iota
	inScript         // the script that makes it tells of it, in the same step
	sharded          // it is told after it was made: a script of a cluster can tell its own slot only
)

// clusterChannels is how many channels a cluster has, so that no node tells of
// everything. Each costs whoever watches a connection.
const clusterChannels = 4

// tellTime is how long telling of a change may hold up the call that made it.
const tellTime = time.Second

// tellingOf returns how a store with WithNotify tells of changes, and where.
func tellingOf(client redis.UniversalClient, prefix string) (telling, []string) {
	switch client.(type) {
	case *redis.Client:
		return inScript, []string{prefix + "changes"}
	case *redis.ClusterClient:
		channels := make([]string, clusterChannels)
		for i := range channels {
			channels[i] = shardChannel(prefix, strconv.Itoa(i))
		}
		return sharded, channels
	}
	return silent, nil
}

// shardChannel returns a channel of a cluster. Whatever is appended to its name
// stays in its slot: there is a hash tag in it, or in the prefix.
func shardChannel(prefix, n string) string {
	name := "changes:{" + n + "}"
	if _, rest, found := strings.Cut(prefix, "{"); found && strings.HasPrefix(rest, "}") {
		return name + prefix // an empty tag would let no other one count
	}
	return prefix + name
}

// A change is told in so many bytes: a format, the key as it is in the name of the
// record, and the version as in the record, or 0. Scripts know that too.
const (
	changeFormat = 1
	keyTextSize  = 43
	changeSize   = 1 + keyTextSize + 8
)

// Trailing bits must be zero, so that each change has one form.
var keyText = base64.RawURLEncoding.Strict()

func encodeChange(c store.Change) []byte {
	b := append(make([]byte, 0, changeSize), changeFormat)
	b = keyText.AppendEncode(b, c.Key[:])
	return binary.BigEndian.AppendUint64(b, uint64(c.Version)) //nolint:gosec // G115: a version is a pattern of bits
}

// parseChange returns false for what is none: anybody with the right may publish.
func parseChange(payload string) (c store.Change, ok bool) {
	if len(payload) != changeSize || payload[0] != changeFormat {
		return store.Change{}, false
	}
	// A line break would be skipped, and then the key is too short.
	n, err := keyText.Decode(c.Key[:], []byte(payload[1:1+keyTextSize]))
	version := binary.BigEndian.Uint64([]byte(payload[1+keyTextSize:]))
	if err != nil || n != len(c.Key) || version > 1<<63-1 {
		return store.Change{}, false
	}
	c.Version = int64(version)
	return c, true
}

// tellOf is tell for one change. It is small, so that it costs nothing where there is
// nothing to do.
func (s *Store) tellOf(ctx context.Context, key store.Key, version int64) {
	if s.telling == sharded {
		s.tell(ctx, store.Change{Key: key, Version: version})
	}
}

// tell tells of changes that scripts have not told of. It takes tellTime at most,
// whether ctx has ended or not: they have been made.
func (s *Store) tell(ctx context.Context, changes ...store.Change) {
	if s.telling != sharded || len(changes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTime)
	defer cancel()
	var payloads [clusterChannels][][]byte
	for _, c := range changes {
		i := int(c.Key[0]) % clusterChannels
		payloads[i] = append(payloads[i], encodeChange(c))
	}
	if len(changes) == 1 { // without a goroutine
		i := int(changes[0].Key[0]) % clusterChannels
		_ = s.publish(ctx, s.channels[i], payloads[i]) // the change stands
		return
	}
	var wg sync.WaitGroup
	for i, list := range payloads {
		if len(list) > 0 {
			wg.Go(func() { _ = s.publish(ctx, s.channels[i], list) })
		}
	}
	wg.Wait()
}

// publish publishes messages in a channel, which is one round trip, and does so
// once more if that fails and may work then. ctx has a deadline.
func (s *Store) publish(ctx context.Context, channel string, payloads [][]byte) error {
	node, err := s.nodeOf(ctx, channel)
	if err != nil {
		return err
	}
	if err = s.publishAt(ctx, node, channel, payloads); err == nil || ctx.Err() != nil {
		return err
	}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		cluster.ReloadState(ctx) // in the background
	}
	_, reply := errors.AsType[redis.Error](err)
	_, moved := redis.IsMovedError(err)
	op, network := errors.AsType[*net.OpError](err)
	switch {
	case moved:
		node = s.nodeAfter(ctx, node, channel, tellTime)
	case reply:
		return err // it would say the same
	case network && op.Op == "dial":
		node = s.nodeAfter(ctx, node, channel, tellTime/10)
	}
	if ctx.Err() != nil {
		return err
	}
	return s.publishAt(ctx, node, channel, payloads)
}

// nodeOf returns the client of the node that has a channel.
func (s *Store) nodeOf(ctx context.Context, channel string) (*redis.Client, error) {
	switch client := s.client.(type) {
	case *redis.Client:
		return client, nil
	case *redis.ClusterClient:
		return client.MasterForKey(ctx, channel)
	}
	return nil, unexpected(s.client) // tellingOf has seen to it
}

// nodeAfter waits for a while until another node than that has a channel, as far
// as the client knows.
func (s *Store) nodeAfter(ctx context.Context, node *redis.Client, channel string, patience time.Duration) *redis.Client {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if next, err := s.nodeOf(ctx, channel); err == nil && next.Options().Addr != node.Options().Addr {
			return next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return node
		}
	}
}

// publishAt publishes messages at a node, in half of tellTime at most. A client that
// does not look at the context while it waits for an answer gets another
// ReadTimeout; of that one the hooks are not called.
func (s *Store) publishAt(ctx context.Context, node *redis.Client, channel string, payloads [][]byte) error {
	command := "publish"
	if s.telling == sharded {
		command = "spublish"
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime/2)
	defer cancel()
	if !node.Options().ContextTimeoutEnabled {
		node = node.WithTimeout(tellTime / 2)
	}
	if len(payloads) == 1 {
		cmd := redis.NewCmd(ctx, command, channel, payloads[0])
		_ = node.Process(ctx, once.command(cmd)) // the command has the error
		return cmd.Err()
	}
	pipe := node.Pipeline()
	cmds := make([]*redis.Cmd, len(payloads))
	for i, payload := range payloads {
		cmds[i] = redis.NewCmd(ctx, command, channel, payload)
		_ = pipe.Process(ctx, once.command(cmds[i])) // it is sent by Exec
	}
	_, _ = pipe.Exec(ctx) // the commands have the errors
	return worst(cmds)
}
