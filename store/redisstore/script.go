package redisstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// What scripts return. Some return a string instead.
const (
	scriptGone    = 0
	scriptDone    = 1
	scriptHint    = 2 // nothing was done: the owner needs a hint first
	scriptForeign = 3 // nothing was done: it is no record
)

// script is a text in Lua that concerns one key.
type script struct {
	text, hash string
	telling    *script // the same that tells of the change it makes; its last argument is the channel
}

func newScript(text string) script { return script{text: text, hash: redis.NewScript(text).Hash()} }

// newTellingScript returns a script of two parts. Its telling form has something in
// between.
func newTellingScript(before, tell, after string) script {
	sc, telling := newScript(before+after), newScript(luaTell+before+tell+after)
	sc.telling = &telling
	return sc
}

// luaTell defines functions that tell of a change; notify.go has its form. What was done
// stands where the user has no right to publish.
const luaTell = `local function tell(version)
	redis.pcall('PUBLISH', ARGV[#ARGV], '\1' .. string.sub(KEYS[1], -43) .. version)
end
local function tellgone() tell(string.rep('\0', 8)) end
`

// luaTime defines a function that reads a time. Strings are not compared: Lua
// does that by the rules of the server's language.
const luaTime = `local function ms(s)
	local high, low = struct.unpack('>I4I4', s)
	return high * 4294967296 + low
end
`

// swapScript replaces a record. ARGV: the expected version, and the new record up to
// its data, with the time of the hint that was made for it, or 0; the data. That is
// few arguments, for each costs the program. It returns the whole record when the
// version is another one.
var swapScript = newTellingScript(luaTime+`
local new = string.sub(ARGV[1], 9)
local owner = string.sub(new, 26)
local cur = redis.call('GETRANGE', KEYS[1], 0, 24 + #owner)
if cur == '' then return 0 end
if #cur < 27 or string.byte(cur) ~= 1 then return 3 end
local version = string.sub(cur, 2, 9)
if version == string.sub(new, 2, 9) then return 1 end
if version ~= string.sub(ARGV[1], 1, 8) then return redis.call('GET', KEYS[1]) end
local expires = ms(string.sub(new, 10))
if #owner > 2 and ms(string.sub(new, 18)) == 0 then
	local hinted = string.sub(cur, 18, 25)
	if string.sub(cur, 26) ~= owner or ms(hinted) < expires then return 2 end
	new = string.sub(new, 1, 17) .. hinted .. owner
end
redis.call('SET', KEYS[1], new .. ARGV[2], 'PXAT', string.format('%.0f', math.max(expires - 1, 1)))
`, `tell(string.sub(new, 2, 9))
`, `return 1
`)

// touchScript lengthens the life of a record. ARGV: the expected version; the new
// expires; the time of the hint that was made for it, or nothing; when Redis
// forgets it. It returns the owner who needs a hint. The time is set before the
// text: that may be done when the memory is full, and then so may the rest.
var touchScript = newScript(luaTime + `
local cur = redis.call('GETRANGE', KEYS[1], 0, 26)
if cur == '' then return 0 end
if #cur < 27 or string.byte(cur) ~= 1 then return 3 end
if string.sub(cur, 2, 9) ~= ARGV[1] then return 0 end
if ms(ARGV[2]) <= ms(string.sub(cur, 10, 17)) then return 1 end
local hinted = string.sub(cur, 18, 25)
local size = struct.unpack('>I2', string.sub(cur, 26))
if size > 0 then
	if ARGV[3] ~= '' then
		hinted = ARGV[3]
	elseif ms(hinted) < ms(ARGV[2]) then
		return redis.call('GETRANGE', KEYS[1], 27, 26 + size)
	end
end
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
redis.call('SETRANGE', KEYS[1], 9, ARGV[2] .. hinted)
return 1
`)

// What a deletion does where nothing is left to delete.
const (
	noFence = "0"
	fence   = "1" // it writes all the same, and leaves nothing: see wait.go
)

// luaFence defines a function for that. DEL comes first, because it may be done
// when the memory is full, and then so may the rest.
const luaFence = `local function fence(wanted)
	if wanted == '1' then
		redis.call('DEL', KEYS[1])
		redis.call('SET', KEYS[1], '', 'PX', 1)
		redis.call('DEL', KEYS[1])
	end
end
`

// deleteScript deletes a record, and writes in any case.
var deleteScript = newTellingScript(luaFence+`
if redis.call('DEL', KEYS[1]) == 0 then fence('1')`, ` else tellgone()`, ` end
return 1
`)

// deleteTellingScript is the command DEL that tells of it.
var deleteTellingScript = newScript(luaTell + `
if redis.call('DEL', KEYS[1]) == 1 then tellgone() end
return 1
`)

// deleteOwnedScript deletes a record while an owner has it, and returns how many
// that were. ARGV: what to do if there is none; the owner behind its length.
var deleteOwnedScript = newTellingScript(luaFence+`
local cur = redis.call('GETRANGE', KEYS[1], 0, 24 + #ARGV[2])
if cur == '' then
	fence(ARGV[1])
	return 0
end
if string.byte(cur) ~= 1 or string.sub(cur, 26) ~= ARGV[2] then return 0 end
`, `tellgone()
`, `return redis.call('DEL', KEYS[1])
`)

// repetition says whether the driver may send a command again when the
// connection breaks.
type repetition bool

const (
	once  repetition = false
	again repetition = true
)

// unrepeated is a command that the driver sends once, or, when a cluster says that
// it has to go elsewhere, until it is taken.
type unrepeated struct{ *redis.Cmd }

// NoRetry is asked by the driver.
func (unrepeated) NoRetry() bool { return true }

func (r repetition) command(cmd *redis.Cmd) redis.Cmder {
	if r == once {
		return unrepeated{cmd}
	}
	return cmd
}

// do sends a command and returns its reply.
func (s *Store) do(ctx context.Context, r repetition, args ...any) (any, error) {
	cmd := redis.NewCmd(ctx, args...)
	_ = s.client.Process(ctx, r.command(cmd)) // the command has the error
	return cmd.Result()
}

// run runs a script for a key. A server that does not know the script has done
// nothing, and is told its text.
func (s *Store) run(ctx context.Context, sc *script, r repetition, key string, args ...any) (any, error) {
	all := make([]any, 0, 5+len(args))
	all = append(append(all, "evalsha", "", "1", key), args...)
	if s.telling == inScript && sc.telling != nil {
		sc, all = sc.telling, append(all, s.channels[0])
	}
	all[1] = sc.hash
	reply, err := s.do(ctx, r, all...)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		all[0], all[1] = "eval", sc.text
		reply, err = s.do(ctx, r, all...)
	}
	return reply, err
}

// evalCommand returns the command for a pipeline, where another one would be too
// late for a server that does not know the script.
func (s *Store) evalCommand(ctx context.Context, sc *script, key string, args ...any) *redis.Cmd {
	if s.telling == inScript && sc.telling != nil {
		sc, args = sc.telling, append(slices.Clone(args), s.channels[0])
	}
	return redis.NewCmd(ctx, append([]any{"eval", sc.text, "1", key}, args...)...)
}

func unexpected(reply any) error {
	return fmt.Errorf("the server gave an answer of type %T that means nothing here", reply)
}
