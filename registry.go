package session

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Declarations that are made while packages are initialised are registered, so that
// NewManager can check them. Those made later cannot be checked before they are
// used, and leave nothing behind.

// place is where a declaration is in the source.
type place struct {
	file string
	line int
}

func (p *place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

var registry struct {
	mu  sync.Mutex
	all []*declaration
}

// initialised is set when the first session is opened: no package is being
// initialised by then, and Key need not look.
var initialised atomic.Bool

// register enters d if a package is being initialised. skip is the number of
// frames up to the caller of Key or Struct.
func (d *declaration) register(skip int) {
	if initialised.Load() {
		return
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(skip+1, pcs)])
	caller, more := frames.Next()
	for frame := caller; more; {
		if frame, more = frames.Next(); strings.HasPrefix(frame.Function, "runtime.doInit") {
			d.place = &place{file: caller.File, line: caller.Line}
			registry.mu.Lock()
			defer registry.mu.Unlock()
			registry.all = append(registry.all, d)
			return
		}
	}
}

// succeed makes d, a copy of old, take its place in the registry, if old has ever
// had one.
func (d *declaration) succeed(old *declaration) {
	if d.place == nil {
		return
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	registry.all = append(slices.DeleteFunc(registry.all, func(e *declaration) bool { return e == old }), d)
}

// declared returns the declarations of a scope, in the order in which they were
// made.
func declared(s Scope) []*declaration {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	var all []*declaration
	for _, d := range registry.all {
		if d.scope == s {
			all = append(all, d)
		}
	}
	return all
}

// use is one key of one declaration.
type use struct {
	d     *declaration
	typ   reflect.Type
	field *structField // nil: the declaration is a Key
}

func (u *use) String() string {
	if u.field != nil {
		return fmt.Sprintf("field %s of Struct[%v], a %v, at %v", u.field.goName, u.d.typ, u.typ, u.d.place)
	}
	return fmt.Sprintf("Key[%v] at %v", u.typ, u.d.place)
}

func (d *declaration) uses() []use {
	if d.plan == nil {
		return []use{{d: d, typ: d.typ}}
	}
	all := make([]use, len(d.plan.fields))
	for i := range all {
		all[i] = use{d: d, typ: d.plan.fields[i].typ, field: &d.plan.fields[i]}
	}
	return all
}

// checkDeclarations returns every problem of the declarations of a manager. Without
// a codec that works, defaults are not looked at.
func (c *valueCodec) checkDeclarations(s Scope, works bool) []error {
	var problems []error
	all := declared(s)
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, d := range all {
		for _, err := range c.checkDeclaration(d, works) {
			report("%v: %w", d.place, err)
		}
	}
	first := map[string]use{}
	fields := map[string]use{}
	var ruled []use // keys with a rule
	for _, d := range all {
		for _, u := range d.uses() {
			name := d.name
			if u.field != nil {
				name = u.field.name
				fields[name] = u
			} else if d.rule != "" {
				ruled = append(ruled, u)
			}
			if other, ok := first[name]; !ok {
				first[name] = u
			} else if other.typ != u.typ {
				report("key %q is declared with two types: as %v, and as %v", name, &other, &u)
			}
		}
	}
	for _, u := range ruled {
		if f, ok := fields[u.d.name]; ok {
			report("key %q has a rule, WithRule(%q), and is %v: put the rule into the tag of the field (%v)", u.d.name, u.d.rule, &f, &u)
		}
	}
	return problems
}

// checkDeclaration returns what is wrong with one declaration by itself.
func (c *valueCodec) checkDeclaration(d *declaration, works bool) []error {
	switch {
	case d.plan != nil && len(d.plan.problems) > 0:
		problems := make([]error, len(d.plan.problems))
		for i, err := range d.plan.problems {
			problems[i] = fmt.Errorf("struct %v: %w", d.typ, err)
		}
		return problems
	case d.err != nil:
		return []error{d.err}
	}
	if d.plan == nil && c.plain {
		if err := checkJSON(d.typ, map[reflect.Type]bool{}); err != nil {
			return []error{&ValueError{Key: d.name, Err: err}}
		}
	}
	problems := c.tryRules(d)
	if d.def != nil && works {
		v := reflect.New(d.typ)
		err := d.def.decode(c, d, v.Interface())
		if err == nil && d.plan == nil && len(problems) == 0 { // a struct's default may be completed by Updates
			err = c.validate(d, v.Interface())
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("the value of WithDefault: %w", err))
		}
	}
	return problems
}
