package schedule

import (
	"slices"

	"github.com/typedsession/session"
)

// outcome is one way in which a transition may go.
type outcome struct {
	w      world
	v      visitor
	answer answer
}

// step returns all that a verb may answer and bring about.
func step(w world, v visitor, e *event) []outcome {
	switch {
	case e.verb == vLoad:
		v.from = len(w.states) - 1
		v.load(w.states[v.from])
		return []outcome{{w, v, answer{}}}
	case e.verb == vDestroy:
		return destroy(w, v)
	case e.verb == vCommit:
		return commit(w, v)
	case v.fail != failNone:
		return refuse(w, v, v.fail)
	case e.verb == vGet:
		n, _ := v.find(e.key)
		v.reads[e.key] = read
		return []outcome{{w, v, answer{value: n}}}
	case e.verb == vLogin:
		if v.frozen { // a login does not fail because another one was faster
			v.becomeNew()
		}
		owner := v.owner()
		v.append(entry{kind: entryLogin, owner: e.key, clears: owner != 0 && owner != e.key})
		v.rotate = rotateLogin
		return []outcome{{w, v, answer{}}}
	case e.verb == vSave:
		if v.frozen || !v.pending() {
			return []outcome{{w, v, answer{}}}
		}
		return flush(w, v)
	case e.verb == vGetOrSet:
		n, _ := v.find(e.key)
		v.reads[e.key] = read
		if n != absent {
			return []outcome{{w, v, answer{value: n}}}
		}
	}
	if v.frozen {
		return refuse(w, v, failSuperseded)
	}
	switch e.verb {
	case vSet:
		return set(w, v, e)
	case vUpdate:
		n, rooted := v.find(e.key)
		v.append(entry{kind: entryAdd, key: e.key, value: max(n, 0) + 1, rooted: rooted})
		v.reads[e.key] = read
		return []outcome{{w, v, answer{value: max(n, 0) + 1}}}
	case vRotate, vElevate:
		if !v.isNew {
			v.rotate = max(v.rotate, map[verb]rotation{vRotate: rotateKeep, vElevate: rotateLogin}[e.verb])
		}
		return []outcome{{w, v, answer{}}}
	default:
		return settle(w, v, e)
	}
}

func refuse(w world, v visitor, f failure) []outcome {
	return []outcome{{w, v, answer{fail: f}}}
}

func set(w world, v visitor, e *event) []outcome {
	n, rooted := v.find(e.key)
	observed := rooted && v.reads[e.key] != unread
	switch {
	case observed && v.reads[e.key] == stale:
		return refuse(w, v, failConflict)
	case n == e.arg && !v.decides(e.key): // no write
	default:
		v.append(entry{kind: entrySet, key: e.key, value: e.arg, observed: observed})
	}
	return []outcome{{w, v, answer{}}}
}

// destroy ends the session at once. It needs no look at what is stored: one that was
// opened before a login can log out too.
func destroy(w world, v visitor) []outcome {
	switch {
	case v.fail == failDestroyed:
		return refuse(w, v, v.fail)
	case v.frozen:
		v.fail = failSuperseded
		return refuse(w, v, v.fail)
	}
	remove := v.remove || !v.isNew
	if !v.isNew {
		w.put(&v, stored{})
	}
	v.becomeNew()
	v.remove = remove
	return []outcome{{w, v, answer{}}}
}

// commit is the end of a request.
func commit(w world, v visitor) []outcome {
	if v.fail != failNone {
		return []outcome{{w, v, v.ticket(v.fail)}}
	}
	outs := []outcome{{w: w, v: v}}
	if !v.frozen && v.pending() {
		outs = flush(w, v)
	}
	for i := range outs {
		o := &outs[i]
		if o.answer.fail == failNone && !o.v.frozen && !o.v.isNew {
			o.w.touch(&o.v)
		}
		o.answer = o.v.ticket(o.answer.fail)
	}
	return outs
}

// touch notes that the session has been used; one that has gone stays gone.
func (w *world) touch(v *visitor) {
	states := w.at(v)
	if s := states[len(states)-1]; s.alive && !s.used {
		s.used = true
		w.put(v, s)
	}
}

// ticket returns what a commit answers.
func (v *visitor) ticket(f failure) answer {
	a := answer{fail: f}
	switch {
	case v.issue && f != failDestroyed && f != failSuperseded:
		a.ticket = session.ActionSet
	case v.remove:
		a.ticket = session.ActionRemove
	}
	return a
}

// final reports whether a failure ends all use of the session.
func final(f failure) bool { return f == failDestroyed || f == failSuperseded }

// write lets try see each state in which the answer of a commit may have its cause.
// try returns false for an effect, which can only be on the last one.
func write(w world, v visitor, try func(w world, v visitor, on stored, last bool) (outcome, bool)) []outcome {
	if v.isNew {
		o, _ := try(w, v, stored{values: empty, alive: true}, true)
		return []outcome{o}
	}
	var outs []outcome
	states := w.at(&v)
	for i, on := range states {
		seen := v
		if !v.own {
			seen.from = v.from + i
		}
		var o outcome
		ok := true
		switch {
		case !on.alive:
			o = refuse(w, seen, failDestroyed)[0]
		case on.epoch != v.base.epoch && v.logsIn(): // in a session of its own, then
			outs = append(outs, write(w, seen.startOver(), try)...)
			continue
		case on.epoch != v.base.epoch:
			o = refuse(w, seen, failSuperseded)[0]
		default:
			o, ok = try(w, seen, on, i == len(states)-1)
		}
		if !ok {
			continue
		}
		if o.answer.fail != failNone { // it has learned nothing
			o.v.from = v.from
		}
		if final(o.answer.fail) {
			o.v.fail = o.answer.fail
		}
		outs = append(outs, o)
	}
	return outs
}

// startOver makes a new session of what a request has done itself, whose login came
// too late.
func (v visitor) startOver() visitor {
	var log []entry
	for _, e := range v.log {
		switch {
		case e.kind == entrySettled:
			continue
		case e.kind == entryLogin && e.clears:
			log = nil
		}
		e.observed = false
		log = append(log, e)
	}
	v.becomeNew()
	for _, e := range log {
		n, _ := v.find(e.key)
		switch e.kind {
		case entryAdd:
			e.value, e.rooted = max(n, 0)+1, true
		case entryLogin:
			e.clears = v.owner() != 0 && v.owner() != e.owner
		default:
		}
		v.append(e)
	}
	return v
}

// flush commits the whole log.
func flush(w world, v visitor) []outcome {
	return write(w, v, func(w world, v visitor, on stored, last bool) (outcome, bool) {
		r := v.replay(&on)
		rotate := v.rotationOn(&on)
		switch {
		case r.conflict:
			return outcome{w, v, answer{fail: failConflict}}, true
		case r.values == on.values && !v.logsIn() && rotate == rotateNone:
			if v.isNew {
				v.log = nil
				return outcome{w: w, v: v}, true
			}
			v.flushed(on)
			return outcome{w: w, v: v}, true
		case !last:
			return outcome{}, false
		}
		next := on
		next.values, next.owner, next.used = r.values, r.owner, true
		switch {
		case v.isNew:
			v.insert(&next)
		case rotate != rotateNone:
			v.rotateOn(&next, &on)
		}
		w.put(&v, next)
		v.flushed(next)
		return outcome{w: w, v: v}, true
	})
}

// insert makes a session of a new one.
func (v *visitor) insert(s *stored) {
	*s = stored{alive: true, values: s.values, owner: s.owner, cur: v.credential(), rotated: true, used: true}
	v.isNew, v.issue, v.presented = false, true, s.cur
}

// flushed takes over what has been committed.
func (v *visitor) flushed(s stored) {
	for key := range v.reads {
		if n, _ := v.find(key); v.reads[key] != unread && n != s.values[key] {
			v.reads[key] = stale
		}
	}
	v.base, v.log, v.rotate = s, nil, rotateNone
}

// rotationOn returns the rotation that is due: of several at once, one happens, and
// none soon after another.
func (v *visitor) rotationOn(on *stored) rotation {
	switch {
	case v.isNew:
		return rotateNone
	case v.rotate == rotateKeep && (on.cur != v.presented || on.rotated):
		return rotateNone
	default:
		return v.rotate
	}
}

// rotateOn replaces the credential. One that this request has issued and not sent yet
// does not count: the visitor still has the one before.
func (v *visitor) rotateOn(next, on *stored) {
	if undelivered := v.issue && on.mode != prevNone && on.cur == v.presented; !undelivered {
		next.prev, next.mode, next.kept, next.keeper = on.cur, prevAlias, values{}, 0
	}
	if v.rotate == rotateLogin {
		next.epoch++
		if next.mode == prevAlias {
			next.mode, next.kept, next.keeper = prevFrozen, empty, 0
			if on.owner == 0 || on.owner == next.owner { // otherwise it was another one's
				next.kept, next.keeper = on.values, on.owner
			}
		}
	}
	next.cur, next.rotated = v.credential(), true
	v.issue, v.presented = true, next.cur
}

// settle is Take or GetOrSet, of a value that the request does not see.
func settle(w world, v visitor, e *event) []outcome {
	insert := e.verb == vGetOrSet
	if slices.ContainsFunc(v.log, func(e entry) bool { return e.kind == entryLogin && e.clears }) {
		return settleLater(w, v, e, insert)
	}
	return write(w, v, func(w world, v visitor, on stored, last bool) (outcome, bool) {
		r := v.replay(&on)
		n := r.values[e.key]
		next := on
		switch {
		case r.conflicts[e.key]:
			return outcome{w, v, answer{fail: failConflict}}, true
		case (n != absent) == insert: // nothing to do
			if !v.decides(e.key) {
				v.settled(e.key, n)
			}
			return outcome{w, v, answer{value: n}}, true
		case insert:
			next.values[e.key], n = e.arg, e.arg
		default:
			next.values[e.key] = absent
		}
		if next != on {
			if !last {
				return outcome{}, false
			}
			if next.used = true; v.isNew {
				v.insert(&next)
			}
			w.put(&v, next)
		}
		v.settled(e.key, next.values[e.key])
		return outcome{w, v, answer{value: n}}, true
	})
}

// settled shows the request what became of a key.
func (v *visitor) settled(key, value int) {
	log := slices.DeleteFunc(slices.Clone(v.log), func(e entry) bool { return e.kind != entryLogin && e.key == key })
	v.log = append(log, entry{kind: entrySettled, key: key, value: value, rooted: true})
	v.reads[key] = read
}

// settleLater leaves it to the commit, which removes what is there.
func settleLater(w world, v visitor, e *event, insert bool) []outcome {
	n, _ := v.find(e.key)
	switch {
	case insert:
		n = e.arg
		v.append(entry{kind: entrySet, key: e.key, value: n})
	case n != absent:
		v.append(entry{kind: entrySet, key: e.key, value: absent})
	}
	return []outcome{{w, v, answer{value: n}}}
}
