package main

import (
	"errors"
	"fmt"
	"reflect"
)

// checkAll finds out whether all peers do the same work. What does not is not
// worth measuring.
func checkAll(at place, peers []peer) error {
	var errs []error
	for _, p := range peers {
		for i := range scenarios {
			if err := check(p, &scenarios[i], at); err != nil {
				errs = append(errs, fmt.Errorf("%s, %s: %w", p.name, scenarios[i].name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// check fills two sessions, changes one of them three times, and looks at all of
// both.
func check(p peer, s *scenario, at place) error {
	a, err := p.new(at)
	if err != nil {
		return err
	}
	first, err := newVisitor(a, s.data.contents(s.data.first))
	if err != nil {
		return fmt.Errorf("filling the first session: %w", err)
	}
	second, err := newVisitor(a, s.data.contents(s.data.first))
	if err != nil {
		return fmt.Errorf("filling the second session: %w", err)
	}
	if first.credential == second.credential {
		return errors.New("two visitors share a session")
	}
	for i := range 3 {
		n := s.data.first + i + 1
		if !s.changes {
			if err := first.expect(s.data.change(a), string(answer(n))); err != nil {
				return err
			}
		}
		if s.anonymous {
			if err := checkAnonymous(a, s); err != nil {
				return err
			}
		} else {
			want := string(okay)
			if s.answers {
				want = string(answer(n))
			}
			if err := first.expect(s.handler(a), want); err != nil {
				return err
			}
		}
		if err := first.holds(s.data.contents(n)); err != nil {
			return fmt.Errorf("first session: %w", err)
		}
	}
	if err := second.holds(s.data.contents(s.data.first)); err != nil {
		return fmt.Errorf("second session: %w", err)
	}
	return nil
}

// checkAnonymous sends the request of a scenario without a cookie.
func checkAnonymous(a app, s *scenario) error {
	v := &visitor{app: a}
	if err := v.expect(s.handler(a), string(okay)); err != nil {
		return err
	}
	switch {
	case s.creates:
		return v.holds(s.data.contents(s.data.first))
	case v.credential != "":
		return errors.New("a cookie for a session that nobody has used")
	default:
		return nil
	}
}

func (v *visitor) expect(h handlerFunc, want string) error {
	got, err := v.visit(h)
	if err == nil && got != want {
		err = fmt.Errorf("answer %q instead of %q", got, want)
	}
	return err
}

func (v *visitor) holds(want map[string]any) error {
	got, err := v.contents(want)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("holds %v instead of %v", got, want)
	}
	return nil
}
