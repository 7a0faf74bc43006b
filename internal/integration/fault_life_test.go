package integration_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	frame "github.com/typedsession/session/internal/record" // record is a helper here
	"github.com/typedsession/session/store"
)

// life is one session, from its beginning to its end, and what is known about it.
// Any number of visitors add to it; one of them writes, logs in and out, and rotates.
//
// A change whose outcome is not known may be stored later, too, but not behind a
// later one that was acknowledged: that one has replaced what it was to replace.
type life struct {
	key   store.Key
	begun string // the credential it began with

	mu         sync.Mutex
	credential string
	owner      string
	counted    int          // increments that were acknowledged
	unknown    int          // and those of which it is not known
	flying     int          // and those that are under way
	saved      map[int]bool // the values that were reported as committed
	noted      int          // the last note that was acknowledged; they are numbered
	notes      int          // the last one that was sent
	denied     map[int]bool // those that are not stored

	turns     int             // odd while the credential is being replaced, or if it is not known whether it has been
	owners    map[string]bool // that it may have
	ending    bool            // a logout is under way, or it is not known whether it has happened
	doubtful  bool            // a logout has failed in that way before
	over      bool            // the session has ended: somebody knows
	hearsay   bool            // to see that it has ended is not to know it
	abandoned bool            // nobody may have its credential
}

func newLife(key store.Key, credential string) *life {
	return &life{
		key: key, begun: credential, credential: credential,
		saved: map[int]bool{}, denied: map[int]bool{}, owners: map[string]bool{"": true},
	}
}

// lifeOf returns the life that a page has begun.
func lifeOf(a *faultAnswer) (*life, error) {
	id, err := base64.RawURLEncoding.DecodeString(a.text)
	if err != nil || len(id) != len(store.Key{}) || a.credential == "" {
		return nil, fmt.Errorf("a session begins with %v", a)
	}
	return newLife(store.Key(id), a.credential), nil
}

// sight is what was known when a request was sent.
type sight struct {
	credential     string
	turns          int
	counted, noted int
	over           bool
}

func (l *life) look() sight {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sight()
}

func (l *life) sight() sight {
	return sight{l.credential, l.turns, l.counted, l.noted, l.over}
}

// steady says that the request had the current credential as long as it took.
func (l *life) steady(s sight) bool { return s.turns%2 == 0 && s.turns == l.turns }

// usual judges what a request may meet that has nothing to do with what it does. It
// says whether the request was done. l.mu is held.
func (l *life) usual(s sight, a *faultAnswer) (ok bool, err error) {
	switch {
	case a.outcome == fateOdd:
		return false, fmt.Errorf("an answer that should not be: %v", a)
	case a.outcome == fateDone && a.text == faultGone:
		if l.steady(s) { // otherwise the credential may be past its grace
			if !l.ending {
				return false, errLost
			}
			l.seenGone()
		}
		return false, nil
	case a.outcome == fateDestroyed:
		if !l.ending {
			return false, errLost
		}
		l.seenGone()
		return false, nil
	case a.outcome == fateSuperseded:
		if l.steady(s) {
			return false, errors.New("superseded, and nobody has logged in")
		}
		return false, nil
	case a.outcome == fateDone && s.over:
		return false, errBack
	}
	return a.outcome == fateDone, nil
}

// seenGone notes that the session is not there. l.mu is held.
func (l *life) seenGone() {
	if l.hearsay {
		l.abandoned = true
	} else {
		l.over = true
	}
}

var (
	errLost = errors.New("the session is lost, and nobody has logged out")
	errBack = errors.New("the session is back after its end")

	errRefusedLogout = errors.New("a logout that was refused has happened")
)

// add judges an increment. Its value was committed if saved is set.
func (l *life) add(saved bool, send func(credential string) faultAnswer) (fate, error) {
	l.mu.Lock()
	s := l.sight()
	l.flying++
	l.mu.Unlock()
	a := send(s.credential)
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.flying-- }()
	ok, err := l.usual(s, &a)
	switch {
	case err != nil:
		return a.outcome, err
	case a.outcome == fateUnknown:
		l.unknown++
	case ok:
		l.counted++
		if a.credential != "" || a.removed {
			return a.outcome, errors.New("a cookie for who has one")
		}
	}
	if !ok || !saved {
		return a.outcome, nil
	}
	n, err := a.number()
	// Its own increment is both in counted and in flying.
	switch most := l.counted + l.unknown + l.flying - 1; {
	case err != nil:
		return a.outcome, err
	case l.saved[n]:
		return a.outcome, fmt.Errorf("%d was reported twice as the committed value", n)
	case n <= s.counted || n > most:
		return a.outcome, fmt.Errorf("%d was reported as the committed value, it should lie between %d and %d", n, s.counted+1, most)
	}
	l.saved[n] = true
	return a.outcome, nil
}

// read judges what a page shows.
func (l *life) read(send func(credential string) faultAnswer) (fate, error) {
	s := l.look()
	a := send(s.credential)
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, err := l.usual(s, &a)
	if err != nil || !ok || !l.steady(s) {
		return a.outcome, err
	}
	part := strings.Split(a.text, "|")
	if len(part) != 3 {
		return a.outcome, fmt.Errorf("a page shows %q", a.text)
	}
	n, err := strconv.Atoi(part[1])
	if err != nil {
		return a.outcome, err
	}
	return a.outcome, l.check(part[0], n, part[2], s)
}

// check holds what is stored against what is known. l.mu is held.
func (l *life) check(owner string, count int, text string, s sight) error {
	noted, err := strconv.Atoi(text)
	switch most := l.counted + l.unknown + l.flying; {
	case err != nil:
		return err
	case count < s.counted:
		return fmt.Errorf("an acknowledged change is lost: %d, at least %d were acknowledged", count, s.counted)
	case count > most:
		return fmt.Errorf("a change was applied twice, or in secret: %d, with %d acknowledged, %d unknown and %d under way",
			count, l.counted, l.unknown, l.flying)
	case noted < s.noted || noted > l.notes || l.denied[noted]:
		return fmt.Errorf("note %d is there, %d was acknowledged, %d was sent, denied are %v", noted, s.noted, l.notes, l.denied)
	case !l.owners[owner]:
		return fmt.Errorf("the owner is %q, it should be one of %v", owner, l.owners)
	}
	return nil
}

// write stores the next note.
func (l *life) write(send func(credential, text string) faultAnswer) (fate, error) {
	l.mu.Lock()
	s := l.sight()
	l.notes++
	n := l.notes
	l.mu.Unlock()
	a := send(s.credential, strconv.Itoa(n))
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, err := l.usual(s, &a)
	switch {
	case ok:
		l.noted = n
	case a.outcome != fateUnknown:
		l.denied[n] = true
	}
	return a.outcome, err
}

// replaced is a credential that was rotated away.
type replaced struct {
	credential string
	out        time.Time // when it is worth nothing
}

// turn replaces the credential: a login of an owner, unless that is empty, or a
// rotation. It returns the one before if there was a new one.
func (l *life) turn(owner string, send func(credential string) faultAnswer) (o fate, old *replaced, err error) {
	l.mu.Lock()
	s := l.sight()
	l.turns++
	if owner != "" {
		l.owners[owner] = true
	}
	l.mu.Unlock()
	a := send(s.credential)
	l.mu.Lock()
	defer l.mu.Unlock()
	// A login that cannot find out whether its owner was revoked meanwhile ends the
	// session.
	late := owner != "" && (a.outcome == fateUnread || a.err != nil)
	if a.outcome == fateUnknown || late {
		l.abandoned, l.ending = true, l.ending || late
		return a.outcome, nil, nil
	}
	l.turns++
	s.turns = l.turns // it was this very request
	if a.outcome != fateDone && owner != l.owner {
		delete(l.owners, owner)
	}
	ok, err := l.usual(s, &a)
	if err != nil || !ok {
		return a.outcome, nil, err
	}
	if owner != "" {
		l.owner, l.owners = owner, map[string]bool{owner: true}
	}
	if a.credential == "" {
		if owner != "" {
			err = errors.New("a login without a cookie")
		}
		return a.outcome, nil, err
	}
	before, _, _ := strings.Cut(s.credential, ".")
	if now, _, _ := strings.Cut(a.credential, "."); now != before {
		return a.outcome, nil, errors.New("the session goes on in another one")
	}
	l.credential = a.credential
	return a.outcome, &replaced{s.credential, time.Now().Add(faultGrace)}, nil
}

// end ends the session.
func (l *life) end(send func(credential string) faultAnswer) (fate, error) {
	l.mu.Lock()
	s := l.sight()
	l.ending = true
	l.mu.Unlock()
	a := send(s.credential)
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, err := l.usual(s, &a)
	switch {
	case err != nil:
		return a.outcome, err
	case ok:
		l.over = true
		if !a.removed {
			err = errors.New("the cookie stays after a logout")
		}
	case a.outcome == fateUndeleted || a.outcome == fateUnknown:
		l.doubtful = true
	case a.outcome == fateNothing && l.over && !l.doubtful:
		err = errRefusedLogout
	}
	l.ending = l.over || l.doubtful
	return a.outcome, err
}

// finished says that there is nothing more to do with it.
func (l *life) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over || l.abandoned
}

// judge holds what the store has in the end against all that is known.
func (l *life) judge(rec *store.Record, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case errors.Is(err, store.ErrNotFound) && l.ending:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return errLost
	case err != nil:
		return err
	case l.over:
		return errBack
	}
	view, err := frame.Parse(rec.Data)
	if err != nil {
		return err
	}
	number, _ := view.Values.Find(counter.Name())
	text, _ := view.Values.Find(note.Name())
	n, err := strconv.Atoi(string(number.Raw))
	if err != nil {
		return err
	}
	for v := range l.saved {
		if v > n {
			return fmt.Errorf("%d was reported as committed, %d is stored", v, n)
		}
	}
	return l.check(string(view.Owner), n, strings.Trim(string(text.Raw), `"`), l.sight())
}
