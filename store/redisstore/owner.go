package redisstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
)

// The owner index is made of hints: "this record may belong to that owner, until
// then". Each owner has a sorted set of them. All scores are 0, so that Redis sorts
// them by their bytes: 32 of the record's key, 8 of the time.
//
// Record and set are on different nodes of a cluster, and no step changes both.
// What holds instead, at each moment:
//
//	A live record of owner O has a hint in O's set, of a time that is not before
//	the record's Expires.
//
// Because: the record is written after the server has acknowledged the hint, and
// holds the hint's time or an earlier one (hinted); no script gives a record an
// Expires after its hinted, nor another owner, but asks for a hint first. And a
// hint goes only when its time has passed, by more than clocks differ. Whatever
// is lost, repeated or late in between leaves a hint too many, of which a list
// finds that it is not true. That a record is gone, or is somebody else's, is no
// reason to remove a hint: an Insert or a Swap may be on its way, which counts on it.
const (
	hintSize = len(store.Key{}) + 8

	// clockMargin is how long a hint outlives its time, in milliseconds: the nodes
	// of a cluster may have clocks that differ by as much.
	clockMargin = uint64(time.Hour / time.Millisecond)

	// A hint is for half a life longer than the record, and for so many
	// milliseconds at least and at most: it serves the touches and swaps of that time.
	leastAhead = uint64(time.Hour / time.Millisecond)
	mostAhead  = uint64(7 * 24 * time.Hour / time.Millisecond)

	// Hints are read so many at a time: few records more than wanted, and not too many.
	leastPage, mostPage = 16, 128
)

// hintScript adds a hint to the set of an owner, unless there is a later one, and
// removes those of the same key that are earlier, first: that may be done when the
// memory is full, and then so may the rest. ARGV: the key; the time of the
// hint, as bytes; the margin. Each hint that comes makes a few others account for
// themselves, so that most of a set is true.
var hintScript = newScript(luaTime + `
local till, margin = ms(ARGV[2]), tonumber(ARGV[3])
local from = '[' .. ARGV[1]
local covered, earlier = false, {}
for _, hint in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], from, from .. string.rep('\255', 9))) do
	if ms(string.sub(hint, 33)) < till then earlier[#earlier + 1] = hint else covered = true end
end
if not covered then
	for _, hint in ipairs(earlier) do redis.call('ZREM', KEYS[1], hint) end
	redis.call('ZADD', KEYS[1], 0, ARGV[1] .. ARGV[2])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, hint in ipairs(redis.call('ZRANDMEMBER', KEYS[1], 3)) do
	if #hint == 40 and ms(string.sub(hint, 33)) + margin < now then redis.call('ZREM', KEYS[1], hint) end
end
local ends = math.max(redis.call('PEXPIRETIME', KEYS[1]), till + margin)
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', ends)) -- in any case: see wait.go
return 1
`)

// pageScript returns how many hints it looked at, the last of them, and those
// among them that may be true; it removes the others. ARGV: where to begin; how
// many; the margin.
var pageScript = newScript(luaTime + `
local page = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local time = redis.call('TIME')
local past = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[3])
local reply = {#page, page[#page] or ''}
for _, hint in ipairs(page) do
	if #hint == 40 then
		if ms(string.sub(hint, 33)) < past then
			redis.pcall('ZREM', KEYS[1], hint)
		else
			reply[#reply + 1] = hint
		end
	end
end
return reply
`)

// ownerKey returns the name of the set of an owner. The owner's name, which may be
// long and tell who that is, is not in it.
func (s *Store) ownerKey(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return s.name("owner:", sum[:])
}

// addHint adds a hint for a record that is about to expire then, and returns the
// time of the hint. It may be repeated, and come late: the later time wins. An
// error leaves the record as it was, and so is a refusal.
func (s *Store) addHint(ctx context.Context, op, owner string, key store.Key, expires uint64) (uint64, error) {
	till := hintTime(milli(time.Now()), expires)
	var reply any
	var err error
	if name := s.ownerKey(owner); s.config.waits() {
		var cmds []*redis.Cmd
		if cmds, err = s.runAndWait(ctx, &hintScript, again, []string{name}, key[:], number(till), clockMargin); err == nil {
			reply = cmds[0].Val()
		}
	} else {
		reply, err = s.run(ctx, &hintScript, again, name, key[:], number(till), clockMargin)
	}
	if err == nil && reply != int64(scriptDone) {
		err = unexpected(reply)
	}
	if err != nil {
		return 0, s.failure(ctx, op, wroteHints, err)
	}
	return till, nil
}

// hintTime returns the time of a hint. A clock that is wrong makes it last too
// long or renewed too often, not too short.
func hintTime(now, expires uint64) uint64 {
	var life uint64
	if expires > now {
		life = expires - now
	}
	return min(expires+min(max(life/2, leastAhead), mostAhead), maxMilli)
}

// cursor is where a reading of hints goes on.
type cursor struct {
	from string // for ZRANGEBYLEX
	end  bool
}

// afterKey begins behind all hints of a key.
func afterKey(key []byte) cursor {
	return cursor{from: "(" + string(key) + strings.Repeat("\xff", 9)}
}

// page returns the keys of the next n hints, which may be true, without repetitions.
func (s *Store) page(ctx context.Context, owner string, c *cursor, n int) ([]store.Key, error) {
	reply, err := s.run(ctx, &pageScript, again, s.ownerKey(owner), c.from, n, clockMargin)
	if err != nil {
		return nil, err
	}
	list, ok := reply.([]any)
	if !ok || len(list) < 2 {
		return nil, unexpected(reply)
	}
	seen, isNumber := list[0].(int64)
	last, isText := list[1].(string)
	if !isNumber || !isText {
		return nil, unexpected(reply)
	}
	*c = afterKey([]byte(last[:min(len(last), len(store.Key{}))]))
	c.end = seen < int64(n)
	var keys []store.Key
	for _, hint := range list[2:] {
		if text, ok := hint.(string); ok && len(text) == hintSize {
			keys = append(keys, store.Key([]byte(text[:len(store.Key{})])))
		}
	}
	return slices.Compact(keys), nil // they are sorted
}

// ListOwner implements [store.OwnerIndex]. The empty owner owns nothing, and a
// limit that is not positive lists nothing. It takes two round trips, and two more
// for each further hundred records or so, those included that have ended in the
// last hours: see the package comment.
func (s *Store) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	const op = "list owner"
	if err := s.usable(ctx, op, reads); err != nil {
		return nil, err
	}
	if owner == "" {
		return nil, nil
	}
	var list []store.Entry
	n := min(max(limit, leastPage), mostPage)
	for c := afterKey(after[:]); len(list) < limit && !c.end; n = min(2*n, mostPage) {
		keys, err := s.page(ctx, owner, &c, n)
		if err != nil {
			return nil, s.failure(ctx, op, reads, err)
		}
		entries, err := s.loadOwned(ctx, owner, keys)
		if err != nil {
			return nil, s.failure(ctx, op, reads, err)
		}
		list = append(list, entries[:min(len(entries), limit-len(list))]...)
	}
	return list, nil
}

// loadOwned returns the live records that the owner has.
func (s *Store) loadOwned(ctx context.Context, owner string, keys []store.Key) ([]store.Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pipe := s.client.Pipeline()
	cmds := make([]*redis.StringCmd, len(keys))
	for i := range keys {
		cmds[i] = pipe.Get(ctx, s.recordKey(keys[i]))
	}
	_, _ = pipe.Exec(ctx) // the commands have the errors
	var list []store.Entry
	for i, cmd := range cmds {
		value, err := cmd.Bytes()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r, err := parseFrame(value)
		if err != nil {
			return nil, err
		}
		if r.Owner == owner {
			list = append(list, store.Entry{Key: keys[i], Record: r})
		}
	}
	return list, nil
}

// DeleteOwner implements [store.OwnerIndex]. The empty owner owns nothing. It
// takes two round trips for each hundred records or so, and one more. With
// WithWait it waits after each hundred, on a cluster after each record, until once
// there were too few replicas. What it cannot delete does not keep it from the rest:
// its error comes at the end.
func (s *Store) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	const op = "delete owner"
	if err := s.usable(ctx, op, writes); err != nil {
		return 0, err
	}
	if owner == "" {
		return 0, nil
	}
	kept := make(map[store.Key]struct{}, len(except))
	for _, key := range except {
		kept[key] = struct{}{}
	}
	d := ownerDeletion{s: s, owner: owner, waits: s.config.waits()}
	for c := (cursor{from: "-"}); !c.end && ended(ctx) == nil; {
		keys, err := s.page(ctx, owner, &c, mostPage)
		if err != nil {
			d.note(err)
			break
		}
		d.delete(ctx, slices.DeleteFunc(keys, func(key store.Key) bool { _, ok := kept[key]; return ok }))
	}
	err := d.err
	if err == nil {
		err = ended(ctx)
	}
	switch {
	case err == nil:
		return d.deleted, nil
	case d.deleted > 0:
		return d.deleted, s.failure(ctx, op, wroteElse, err)
	default:
		return 0, s.failure(ctx, op, writes, err)
	}
}

// ownerDeletion is a DeleteOwner under way.
type ownerDeletion struct {
	s       *Store
	owner   string
	waits   bool
	deleted int64
	err     error // the worst so far
}

// note keeps an error, unless there is one that leaves more open.
func (d *ownerDeletion) note(err error) {
	if err != nil && (d.err == nil || isRefusal(d.err)) {
		d.err = err
	}
}

// delete deletes those records that the owner has, and tells of them.
func (d *ownerDeletion) delete(ctx context.Context, keys []store.Key) {
	field := appendOwner(nil, d.owner)
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = d.s.recordKey(key)
	}
	var gone []store.Change
	defer func() { d.s.tell(ctx, gone...) }()
	if d.waits && len(names) > 0 {
		cmds, err := d.s.runAndWait(ctx, &deleteOwnedScript, once, names, fence, field)
		gone = d.count(gone, keys, cmds)
		d.note(err)
		if _, few := errors.AsType[*ReplicasError](err); few {
			d.waits = false // each further wait would take as long
		}
		keys, names = keys[len(cmds):], names[len(cmds):] // the others of a cluster
	}
	if len(names) == 0 {
		return
	}
	pipe := d.s.client.Pipeline()
	cmds := make([]*redis.Cmd, len(names))
	for i, name := range names {
		cmds[i] = d.s.evalCommand(ctx, &deleteOwnedScript, name, noFence, field)
		_ = pipe.Process(ctx, once.command(cmds[i])) // it is sent by Exec
	}
	_, _ = pipe.Exec(ctx) // the commands have the errors
	gone = d.count(gone, keys, cmds)
	d.note(worst(cmds))
}

// count counts what commands for keys have deleted. It appends that, and what they
// may have deleted, to gone.
func (d *ownerDeletion) count(gone []store.Change, keys []store.Key, cmds []*redis.Cmd) []store.Change {
	for i, cmd := range cmds {
		n, ok := cmd.Val().(int64)
		if ok = ok && cmd.Err() == nil; ok {
			d.deleted += n
		}
		if ok && n > 0 || cmd.Err() != nil && !isRefusal(cmd.Err()) {
			gone = append(gone, store.Change{Key: keys[i]})
		}
	}
	return gone
}
