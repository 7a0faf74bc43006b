package session

import (
	"context"
	"errors"
	"reflect"
	"time"
)

// Typed is a typed view of part of a session. It is an immutable handle of one
// pointer, declared once, usually as a package variable, and safe for concurrent
// use:
//
//	var Counter = session.Key[int]("counter")
//
// Its verbs take the context of the request and act on the session that the
// middleware put there; without one they panic, naming the fix. Values are copies:
// nothing a verb returns is shared with another request. The zero Typed panics.
//
// What the verbs change is committed when the response begins, all of it or
// nothing; Take and GetOrSet commit their key at once.
type Typed[T any] struct {
	_ [0]*T // Typed[A] does not convert to Typed[B]
	d *declaration
}

// declaration is the untyped part of a Typed.
type declaration struct {
	name          string // of the key, or of the struct's type
	typ           reflect.Type
	plan          *structPlan // nil: one key
	err           error       // why it cannot be used
	scope         Scope
	contextKey    any
	lastWriteWins bool
	def           *defaultValue // nil: the zero value
	rule          string        // of WithRule
	rules         *typeRules    // nil: the type has none
	place         *place        // nil: not made during package initialisation

	// replay runs an Update function, a func(*T) error, on stored values.
	replay func(c *valueCodec, d *declaration, fn any, u start) (updated, error)
}

var (
	errEmptyName = errors.New("the name of a key is empty")
	errNameUTF8  = errors.New("the name of a key is not valid UTF-8")

	errEmptyRule      = errors.New("the tag of WithRule is empty")
	errDefaultOmitted = errors.New("WithDefault on a struct whose fields may all be omitted: its zero value could not be told from the default")

	errRuleOnStruct = errors.New("WithRule on a Struct: put rules into the `validate` tags of its fields")
	errRuleOnFields = errors.New("WithRule on a key that holds a struct: put rules into the `validate` tags of its fields")

	timeType        = reflect.TypeFor[time.Time]()
	unmarshalerType = reflect.TypeFor[interface{ UnmarshalJSON([]byte) error }]()
)

// Key declares the key of a name, holding a T as JSON. The name is any UTF-8
// text of 1 to 1024 bytes; the verbs of a key with another name return an error.
// T should be a type that encoding/json can encode and decode, and what comes back
// is what JSON makes of it: unexported fields are not stored, bytes of a string that
// are no UTF-8 become U+FFFD, a number in an interface is a float64. [json.RawMessage]
// gives raw access.
//
// A T with `validate` tags, or with a method Validate() error on T or *T, is
// checked whenever it is stored: see [ValidationError].
func Key[T any](name string) Typed[T] {
	d := &declaration{name: name, err: checkName(name)}
	return declare[T](d)
}

// Struct declares the whole session, or a part of it, as a struct: each exported
// field of T is a key of the session, named by its json tag, so that other Structs
// and Keys may share it. Embedding, "-", omitempty and omitzero mean what they mean
// in encoding/json; names match exactly.
//
//	type Visit struct {
//		Pageviews int       `json:"pageviews" validate:"gte=0"`
//		FirstSeen time.Time `json:"first_seen"`
//	}
//
//	var Guest = session.Struct[Visit]()
//
// Only fields that change are written, and keys that are no field of T are left
// alone: programs of different versions can share a session. That holds for keys, not
// inside a value: a program that changes the field "items" writes all of it, without
// what another version keeps in there.
//
// An Update is one change of all it reads and writes: on fresh data its function runs
// again, on the whole struct. All of the struct is validated, fields that were stored
// long ago too: a new rule must hold for sessions that exist. Set writes only the
// fields that are not there or differ, so a field that another request has changed
// meanwhile stays as it is; where fields depend on each other use Update, or a method
// Validate. Lookup's ok means that any field is there. Delete and Take concern the
// fields of T.
//
// Refused are exported fields without a json tag or with its option "string", two
// fields of one name, types that JSON cannot hold, a T without fields or with an
// encoding of its own. NewManager reports what package variables declare; the verbs
// of a struct that was declared later return the error.
func Struct[T any]() Typed[T] {
	t := reflect.TypeFor[T]()
	d := &declaration{name: t.Name(), plan: planOf(t)}
	if d.name == "" {
		d.name = t.String()
	}
	if problems := d.plan.problems; len(problems) > 0 {
		d.err = &ValueError{Key: d.name, Err: errors.Join(problems...)}
	}
	return declare[T](d)
}

func declare[T any](d *declaration) Typed[T] {
	d.typ = reflect.TypeFor[T]()
	d.rules = rulesOf(d.typ)
	d.contextKey = defaultKey
	d.replay = replayUpdate[T]
	d.register(3)
	return Typed[T]{d: d}
}

func (t Typed[T]) decl() *declaration {
	if t.d == nil {
		panic("session: verb on the zero Typed: declare it, as in `var Counter = session.Key[int](\"counter\")`")
	}
	return t.d
}

func (t Typed[T]) with(change func(d *declaration)) Typed[T] {
	d := *t.decl()
	change(&d)
	d.succeed(t.d)
	return Typed[T]{d: &d}
}

// Name returns the name of the key, or of the type of a Struct.
func (t Typed[T]) Name() string { return t.decl().name }

// WithDefault returns a copy of t whose Get and Update see v where the session
// has no value. v must be encodable, and must not be changed afterwards.
//
// A struct whose fields may all be omitted cannot have a default: what is stored of
// its zero value is nothing.
func (t Typed[T]) WithDefault(v T) Typed[T] {
	return t.with(func(d *declaration) {
		if d.err == nil && d.plan != nil && d.plan.mayBeNothing() {
			d.err = &ValueError{Key: d.name, Err: errDefaultOmitted}
		}
		d.def = &defaultValue{v: &v, copies: isPlain(reflect.TypeFor[T]())}
	})
}

// WithLastWriteWins returns a copy of t whose Set and Delete never fail with a
// [ConflictError]: what another request wrote since this one read the key is
// replaced. Updates are never lost in either case.
func (t Typed[T]) WithLastWriteWins() Typed[T] {
	return t.with(func(d *declaration) { d.lastWriteWins = true })
}

// WithRule returns a copy of t whose values must also satisfy a tag of
// github.com/go-playground/validator, as in WithRule("email") or
// WithRule("min=1,max=99"); called again, it adds to the rules. It is for keys: the fields of a struct have their rules
// in `validate` tags. NewManager reports a tag that does not exist or fit.
func (t Typed[T]) WithRule(tag string) Typed[T] {
	return t.with(func(d *declaration) {
		if d.rule != "" && tag != "" {
			tag = d.rule + "," + tag
		}
		d.rule = tag
		switch {
		case d.err != nil:
		case d.plan != nil:
			d.err = &ValueError{Key: d.name, Err: errRuleOnStruct}
		case isFields(d.typ):
			d.err = &ValueError{Key: d.name, Err: errRuleOnFields}
		case tag == "":
			d.err = &ValueError{Key: d.name, Err: errEmptyRule}
		}
	})
}

// In returns a copy of t that acts on the session of scope s. Where NewManager
// looks for conflicts, the copy takes the place of t.
func (t Typed[T]) In(s Scope) Typed[T] {
	return t.with(func(d *declaration) {
		d.scope, d.contextKey = s, defaultKey
		if s.name != "" {
			d.contextKey = scopeKey(s.name)
		}
	})
}

func (t Typed[T]) session(ctx context.Context) (*Session, *declaration) {
	d := t.decl()
	if s, ok := lookup(ctx, d.contextKey); ok {
		return s, d
	}
	return d.scope.FromContext(ctx), d // panics
}

// Get returns the value, or the default where there is none. A value that is
// not a T is a *[ValueError]; a store that fails is a *[StoreError], and then the
// response of this request is an error too.
func (t Typed[T]) Get(ctx context.Context) (T, error) {
	v, ok, err := t.Lookup(ctx)
	if ok || err != nil || t.d.def == nil {
		return v, err
	}
	return defaultOf(t, ctx)
}

// Value is Get for places that cannot return an error, such as templates. A
// failure gives the zero value, and the request ends with the error handler's
// answer instead of the handler's.
func (t Typed[T]) Value(ctx context.Context) T {
	v, err := t.Get(ctx)
	if err != nil {
		s, _ := t.session(ctx)
		s.remember(err)
	}
	return v
}

// Lookup returns the value and true, or the zero value and false where there
// is none. Its errors are those of Get.
func (t Typed[T]) Lookup(ctx context.Context) (v T, ok bool, err error) {
	s, d := t.session(ctx)
	if d.plan != nil {
		return lookupStruct[T](ctx, s, d)
	}
	raw, ok, err := s.read(ctx, d)
	if !ok || err != nil {
		return v, false, err
	}
	if s.m.codec.plain && decodePlain(raw, &v) {
		return v, true, nil
	}
	slow, err := decodeValue[T](&s.m.codec, d, raw)
	if err != nil {
		s.markBad(d.name, err)
		return slow, false, err
	}
	return slow, true, nil
}

// Set stores v. It is checked and encoded now: a *[ValueError], *[ValidationError]
// or *[LimitError] leaves the session as it was. Setting what is already there is no
// write.
//
// When this request has read the key and another one changes it before the
// commit, the commit fails with a *[ConflictError], because replacing the value
// would lose that change: use Update or GetOrSet, or declare the key with
// WithLastWriteWins.
func (t Typed[T]) Set(ctx context.Context, v T) error {
	s, d := t.session(ctx)
	if d.plan != nil {
		return setStruct(ctx, s, d, v)
	}
	raw, err := encodeValue(&s.m.codec, d, &v)
	if err != nil {
		return err
	}
	return s.set(ctx, d, raw, true)
}

// Delete removes the value. Where there is none, that is no change. It decodes
// nothing, so it also removes what Get cannot read.
func (t Typed[T]) Delete(ctx context.Context) error {
	s, d := t.session(ctx)
	if d.plan != nil {
		return s.deleteFields(ctx, d)
	}
	return s.set(ctx, d, nil, false)
}

// Update changes the value with f, which gets the present value, or the default
// where there is none; an absent map is empty, not nil. It returns what f made of
// it. An error of f is returned as it is and nothing changes.
//
// The change is atomic over all nodes: when another request has changed the
// session by the time this one commits, f runs again on the fresh value, perhaps
// on another goroutine. So the result is provisional until then (call
// [Session.Save] before acting on it), and f should depend on its argument alone
// and touch nothing that the handler uses later. Inside f, other keys read as they
// were before the Update, and changes return [ErrInUpdate].
//
// What f makes is validated, and again each time f runs: a *[ValidationError]. An
// error of either on fresh data makes the commit fail with a *[ReplayError].
func (t Typed[T]) Update(ctx context.Context, f func(*T) error) (T, error) {
	s, d := t.session(ctx)
	var zero T
	for range maxChanges {
		u, err := s.beginUpdate(ctx, d)
		if err != nil {
			return zero, err
		}
		v, out, err := runUpdate(s, d, f, u)
		if err != nil {
			return zero, err
		}
		done, err := s.finishUpdate(ctx, d, f, u, out)
		if err != nil {
			return zero, err
		}
		if done {
			return *v, nil
		}
	}
	return zero, ErrContention
}

// GetOrSet returns the value, or stores and returns what f makes where there is
// none. The first of all concurrent callers, on any node, wins and every one gets
// its value: the key is committed at once. f runs at most once; when another
// request was faster its result is dropped. An error of f is returned as it is.
//
// A value that this request itself has set or updated is returned as Get returns
// it, committed or not. Where an Update of a Struct with this key is pending and has
// left it absent, everything that is pending is committed first, as by
// [Session.Save]; Take does that in any case.
// Behind a Login that has not been committed, in a session of nobody, the value
// still goes into that session: call [Session.Save] first if f depends on the owner.
func (t Typed[T]) GetOrSet(ctx context.Context, f func() (T, error)) (T, error) {
	v, ok, err := t.Lookup(ctx)
	if ok || err != nil {
		return v, err
	}
	s, d := t.session(ctx)
	if v, err = f(); err != nil {
		return v, err
	}
	var zero T
	values, err := encodeAll(&s.m.codec, d, &v)
	if err != nil {
		return zero, err
	}
	got, err := s.settle(ctx, d, &settlement{insert: values})
	if err != nil {
		return zero, err
	}
	return decodeAll[T](s, d, got)
}

// Take returns the value and removes it, at once and exactly once: of concurrent
// callers, on any node, one gets it and the others get false. A value that is not
// a T is a *[ValueError] and stays.
//
// It is for one-time codes. A message to be shown once is better read with Lookup and
// removed with Delete: then it is still there when the response becomes an error.
func (t Typed[T]) Take(ctx context.Context) (T, bool, error) {
	s, d := t.session(ctx)
	check := func(values []stored) error {
		_, err := decodeAll[T](s, d, values)
		return err
	}
	var zero T
	values, err := s.settle(ctx, d, &settlement{check: check})
	if err != nil || !anyOf(values) {
		return zero, false, err
	}
	// check may last have seen another value than the one that was removed.
	v, err := decodeAll[T](s, d, values)
	if err != nil {
		return zero, false, err
	}
	return v, true, nil
}
