package history

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// Inside the package: these histories are written by hand, to see that the model
// takes nothing but what is promised.

// at sets when an operation is called and returns; a unit is a millisecond as well.
func (o op) at(call, ret int64) *op {
	o.call, o.ret = call, ret
	o.begin, o.end = time.Duration(call)*time.Millisecond, time.Duration(ret)*time.Millisecond
	return &o
}

// first is a credential of the first operation, which stores x 2.
var first = credential{}

func sees(v values, owner int8) op {
	return op{kind: load, cred: first, found: true, values: v, owner: owner}
}

func by(c credential, o op) op { o.cred = c; return o }

func sets(key int, value int32) op { return op{kind: set, keys: []int{key}, value: value} }

func adds(got int32) op { return op{kind: update, keys: []int{0}, got: got} }

func (o op) ends(out outcome) op { o.out = out; return o }

var nothing = op{kind: load, isNew: true}

func TestModel(t *testing.T) {
	t.Parallel()
	calm := profile{idle: time.Hour, lifetime: forever, grace: time.Hour}
	brief := profile{idle: time.Hour, lifetime: forever, grace: 10 * time.Millisecond}
	idle := profile{idle: 20 * time.Millisecond, lifetime: forever, grace: time.Hour}
	short := profile{idle: 20 * time.Millisecond, lifetime: 50 * time.Millisecond, grace: time.Hour}
	read := op{kind: replace, keys: []int{0}, value: 9, got: 2}
	turned := op{kind: rotate, rotated: true}
	raised := op{kind: elevate, rotated: true}
	second := credential{id: 1}           // of a rotation that is operation 1
	higher := credential{id: 1, epoch: 1} // of an elevation that is operation 1
	third := credential{id: 2, epoch: 0}  // of another rotation
	logged := op{kind: login, owner: 1, rotated: true}
	for _, c := range []struct {
		name    string
		profile profile
		ops     []*op
		good    bool
	}{
		{"a read", calm, []*op{sees(values{2}, 0).at(3, 4)}, true},
		{"a read of what nobody has stored", calm, []*op{sees(values{3}, 0).at(3, 4)}, false},
		{"a read of what was replaced", calm, []*op{sets(0, 7).at(3, 4), sees(values{2}, 0).at(5, 6)}, false},
		{"a read beside a set", calm, []*op{sets(0, 7).at(3, 6), sees(values{2}, 0).at(4, 5)}, true},
		{"two reads beside a set that disagree", calm, []*op{
			sets(0, 7).at(3, 9), sees(values{7}, 0).at(4, 5), sees(values{2}, 0).at(6, 7),
		}, false},
		{"a set of two keys seen by halves", calm, []*op{
			op{kind: set, keys: []int{0, 1}, value: 7}.at(3, 9), sees(values{7}, 0).at(4, 5),
		}, false},
		{"two increments", calm, []*op{adds(3).at(3, 6), adds(4).at(4, 5)}, true},
		{"a lost update", calm, []*op{adds(3).at(3, 6), adds(3).at(4, 5)}, false},
		{"a lost update of a struct", calm, []*op{
			op{kind: pair}.at(3, 6), op{kind: pair}.at(4, 5), sees(values{3, 1}, 0).at(7, 8),
		}, false},
		{"an increment in vain", calm, []*op{adds(3).ends(failed).at(3, 6), sees(values{2}, 0).at(7, 8)}, true},
		{"an increment that is said to be in vain", calm, []*op{adds(3).ends(failed).at(3, 6), sees(values{3}, 0).at(7, 8)}, false},
		{"what is not known has happened", calm, []*op{adds(3).ends(unknown).at(3, 4), sees(values{3}, 0).at(7, 8)}, true},
		{"what is not known has not happened", calm, []*op{adds(3).ends(unknown).at(3, 4), sees(values{2}, 0).at(7, 8)}, true},
		{"what is not known happens late", calm, []*op{
			adds(3).ends(unknown).at(3, 4), sees(values{2}, 0).at(7, 8), sees(values{3}, 0).at(9, 10),
		}, true},
		{"what is not known happens twice", calm, []*op{
			adds(3).ends(unknown).at(3, 4), sees(values{3}, 0).at(7, 8), sees(values{4}, 0).at(9, 10),
		}, false},
		{"a replacement", calm, []*op{read.at(3, 4), sees(values{9}, 0).at(5, 6)}, true},
		{"two replacements of the same", calm, []*op{read.at(3, 6), read.at(4, 5)}, false},
		{"a conflict", calm, []*op{read.at(3, 6), read.ends(conflict).at(4, 5)}, true},
		{"a conflict without a reason", calm, []*op{read.ends(conflict).at(3, 4)}, false},
		{"a refusal without a reason", calm, []*op{op{kind: claim, keys: []int{0}}.ends(refused).at(3, 4)}, false},
		{"a one-time code that is used twice", calm, []*op{
			op{kind: take, keys: []int{0}, got: 2}.at(3, 6), op{kind: take, keys: []int{0}, got: 2}.at(4, 5),
		}, false},
		{"two first values", calm, []*op{
			op{kind: getOrSet, keys: []int{1}, value: 8, got: 8}.at(3, 6), op{kind: getOrSet, keys: []int{1}, value: 9, got: 9}.at(4, 5),
		}, false},
		{"the first value wins", calm, []*op{
			op{kind: getOrSet, keys: []int{1}, value: 8, got: 8}.at(3, 6), op{kind: getOrSet, keys: []int{1}, value: 9, got: 8}.at(4, 5),
		}, true},
		{"a clear that leaves what was added", calm, []*op{sets(1, 7).at(3, 4), op{kind: clearAll}.at(5, 6), sees(values{0, 7}, 0).at(7, 8)}, false},

		{"logged out", calm, []*op{op{kind: destroy}.at(3, 4), nothing.at(5, 6)}, true},
		{"logged out without a reason", calm, []*op{nothing.at(5, 6)}, false},
		{"ended without a reason", calm, []*op{sets(0, 7).ends(gone).at(5, 6)}, false},
		{"a session that rises", calm, []*op{op{kind: destroy}.at(3, 4), sees(values{2}, 0).at(5, 6)}, false},
		{"a write after the end", calm, []*op{op{kind: revoke}.at(3, 4), sets(0, 7).at(5, 6)}, false},
		{"a write beside the end", calm, []*op{op{kind: revoke}.at(3, 6), sets(0, 7).at(4, 5), nothing.at(7, 8)}, true},
		{"a logout that is not known", calm, []*op{op{kind: destroy}.ends(unknown).at(3, 4), sees(values{2}, 0).at(5, 6), nothing.at(7, 8)}, true},

		{"a rotation", calm, []*op{turned.at(3, 4)}, false}, // too soon after the creation
		{"a rotation that is due", brief, []*op{turned.at(13, 14), by(second, sees(values{2}, 0)).at(15, 16)}, true},
		{"a rotation that is not made", brief, []*op{op{kind: rotate}.at(30, 31)}, false},
		{"two rotations", brief, []*op{turned.at(13, 16), turned.at(14, 15)}, false},
		{"the credential before", brief, []*op{turned.at(13, 14), sees(values{2}, 0).at(15, 16), sets(0, 7).at(15, 16)}, true},
		{"the credential before is answered as logged out", brief, []*op{turned.at(13, 14), nothing.at(15, 16)}, false},
		{"the credential before is good for too long", brief, []*op{turned.at(13, 14), sees(values{2}, 0).at(30, 31)}, false},
		{"the credential before that", brief, []*op{
			turned.at(13, 14), by(second, turned).at(25, 26), by(third, sees(values{2}, 0)).at(27, 28), sees(values{}, 0).at(27, 28),
		}, true},
		{"the credential before that reads", brief, []*op{turned.at(13, 14), by(second, turned).at(25, 26), sees(values{2}, 0).at(27, 28)}, false},

		{"a higher privilege", calm, []*op{raised.at(3, 4), by(higher, sets(0, 7)).at(5, 6), sees(values{2}, 0).at(7, 8)}, true},
		{"what is newer is read with the old one", calm, []*op{raised.at(3, 4), by(higher, sets(0, 7)).at(5, 6), sees(values{7}, 0).at(7, 8)}, false},
		{"a write with the old one", calm, []*op{raised.at(3, 4), sets(0, 7).at(5, 6)}, false},
		{"a write with the old one is refused", calm, []*op{raised.at(3, 4), sets(0, 7).ends(superseded).at(5, 6)}, true},
		{"a logout with the old one", calm, []*op{
			raised.at(3, 4), op{kind: load, writes: true}.at(5, 6), op{kind: destroy}.at(7, 8),
		}, false},
		{"refused without a login", calm, []*op{sets(0, 7).ends(superseded).at(5, 6)}, false},
		{"an owner", calm, []*op{logged.at(3, 4), by(higher, sees(values{2}, 1)).at(5, 6), sees(values{2}, 0).at(5, 6)}, true},
		{"an owner reads what was another's", calm, []*op{
			logged.at(3, 4), by(higher, op{kind: login, owner: 2, rotated: true}).at(5, 6),
			by(credential{id: 2, epoch: 2}, sees(values{2}, 2)).at(7, 8),
		}, false},

		{"it ends when nobody uses it", idle, []*op{nothing.at(40, 41)}, true},
		{"it ends early", idle, []*op{nothing.at(10, 11)}, false},
		{"it does not end", idle, []*op{sees(values{2}, 0).at(40, 41)}, false},
		{"it is used", idle, []*op{op{kind: touch}.at(15, 16), sees(values{2}, 0).at(32, 33)}, true},
		{"it ends though it is used", idle, []*op{op{kind: touch}.at(15, 16), nothing.at(24, 25)}, false},
		{"a use does not move the end", short, []*op{
			sets(1, 4).at(15, 16), sets(1, 5).at(30, 31), sets(1, 6).at(45, 46), sees(values{2, 6}, 0).at(60, 61),
		}, false},
		{"a login does", short, []*op{
			logged.at(15, 16), by(higher, sets(1, 4)).at(30, 31), by(higher, sets(1, 6)).at(45, 46),
			by(higher, sees(values{2, 6}, 1)).at(60, 61),
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &History{profile: c.profile, options: Options{Faults: true, Margin: 2 * time.Millisecond}}
			for i, o := range append([]*op{op{kind: set, values: values{2}}.at(1, 2)}, c.ops...) {
				o.id = i
				if o.out == failed {
					o.err = errLost
				}
				h.ops = append(h.ops, o)
			}
			require.Equal(t, c.good, porcupine.CheckOperations(h.model(), h.operations()), h.text(""))
		})
	}
}

// Where a fifth of the operations may have happened or not, nothing is shown.
func TestLittleIsKnown(t *testing.T) {
	t.Parallel()
	h := &History{profile: profile{idle: time.Hour, lifetime: forever}, options: Options{Faults: true}}
	for i := range 11 {
		o := op{id: i, kind: set, keys: []int{0}, value: int32(i), call: int64(2 * i), ret: int64(2*i + 1)}
		if i > 8 {
			o.out = unknown
		}
		h.ops = append(h.ops, &o)
	}
	require.Equal(t, Accepted, h.Check().Result)
	h.ops[8].out = unknown
	require.Equal(t, Thrown, h.Check().Result)
}

// One operation can be wrong by itself.
func TestAbsurd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op     op
		faults bool
	}{
		"another session":             {op{other: true}, true},
		"a failure where nothing did": {op{out: failed, err: errLost}, false},
		"a failure of its own":        {op{out: failed, err: errors.New("of its own")}, true},
		"an answer that was not lost": {op{out: unknown}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.op.kind, c.op.ret = revoke, math.MaxInt64
			h := &History{options: Options{Faults: c.faults}, ops: []*op{{}, &c.op}}
			require.Equal(t, Rejected, h.Check().Result)
		})
	}
}
