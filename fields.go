package session

import (
	text "encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// The fields of a struct that are keys of the session, found by the rules of
// encoding/json. What that package would drop or rename in silence is refused.

// structField is one key of a struct.
type structField struct {
	name      string // of the key
	goName    string // its path in Go
	index     []int
	typ       reflect.Type
	tagged    bool // the tag names it
	omitEmpty bool
	omitZero  bool
}

// structPlan is what Struct knows about a type. fields are sorted by name.
type structPlan struct {
	fields   []structField
	problems []error
}

var plans sync.Map // reflect.Type → *structPlan

func planOf(t reflect.Type) *structPlan {
	if p, ok := plans.Load(t); ok {
		return p.(*structPlan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*structPlan)
}

var (
	marshalerType       = reflect.TypeFor[json.Marshaler]()
	textMarshalerType   = reflect.TypeFor[text.TextMarshaler]()
	textUnmarshalerType = reflect.TypeFor[text.TextUnmarshaler]()
)

func newPlan(t reflect.Type) *structPlan {
	p := new(structPlan)
	switch {
	case t.Kind() != reflect.Struct:
		p.problems = []error{fmt.Errorf("%v is no struct: use Key", t)}
		return p
	case encodesItself(t):
		p.problems = []error{fmt.Errorf("%v encodes or decodes itself, perhaps by a method of an embedded type, so its fields are no keys: use Key", t)}
		return p
	}
	c := fieldCollector{plan: p}
	c.collect(t)
	c.dominate()
	if len(p.fields) == 0 && len(p.problems) == 0 {
		p.problems = []error{errors.New("it has no exported fields")}
	}
	slices.SortFunc(p.fields, func(a, b structField) int { return strings.Compare(a.name, b.name) })
	return p
}

// mayBeNothing reports whether a value may be stored as no key at all.
func (p *structPlan) mayBeNothing() bool {
	return !slices.ContainsFunc(p.fields, func(f structField) bool { return !f.omitEmpty && !f.omitZero })
}

func encodesItself(t reflect.Type) bool {
	return implements(t, marshalerType) || implements(t, unmarshalerType) ||
		implements(t, textMarshalerType) || implements(t, textUnmarshalerType)
}

func implements(t, iface reflect.Type) bool {
	return t.Implements(iface) || reflect.PointerTo(t).Implements(iface)
}

// fieldCollector walks through a struct and what it embeds, level by level.
type fieldCollector struct {
	plan *structPlan
	all  []structField
}

type embedded struct {
	typ    reflect.Type
	index  []int
	goName string
}

func (c *fieldCollector) collect(t reflect.Type) {
	seen := map[reflect.Type]bool{}
	for level := []embedded{{typ: t}}; len(level) > 0; {
		var next []embedded
		for _, e := range level {
			seen[e.typ] = true
		}
		for _, e := range level {
			for i := range e.typ.NumField() {
				if inner, ok := c.field(e, i); ok && !seen[inner.typ] {
					next = append(next, inner)
				}
			}
		}
		level = next
	}
}

// field looks at one field: a key, or an embedded struct whose fields are.
func (c *fieldCollector) field(in embedded, i int) (inner embedded, ok bool) {
	sf := in.typ.Field(i)
	target := sf.Type
	if sf.Anonymous && target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	isStruct := sf.Anonymous && target.Kind() == reflect.Struct
	tag, hasTag := sf.Tag.Lookup("json")
	if !sf.IsExported() && !isStruct || tag == "-" {
		return inner, false
	}
	f := structField{
		goName: in.goName + sf.Name, index: append(slices.Clip(in.index), i), typ: sf.Type,
	}
	name, options, _ := strings.Cut(tag, ",")
	if name == "" && isStruct {
		if target == timeType {
			c.refuse(f, "an embedded time.Time is one value: give it a json tag")
			return inner, false
		}
		if sf.Type.Kind() == reflect.Pointer && !sf.IsExported() {
			c.refuse(f, "JSON cannot be decoded into an embedded pointer to an unexported struct")
			return inner, false
		}
		return embedded{typ: target, index: f.index, goName: f.goName + "."}, true
	}
	if !sf.IsExported() {
		c.refuse(f, "its json tag makes a value of it, and its type is not exported")
		return inner, false
	}
	f.name, f.tagged = name, name != ""
	if !f.tagged {
		f.name = sf.Name
	}
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		case "string":
			c.refuse(f, "the option \"string\" of its json tag is not supported")
			return inner, false
		}
	}
	switch err := checkName(f.name); {
	case !hasTag:
		c.refuse(f, "it has no json tag, so renaming it would lose what is stored: name its key, or exclude it with `json:\"-\"`")
	case !validTagName(f.name):
		c.refuse(f, fmt.Sprintf("encoding/json does not accept the name %q", name))
	case err != nil:
		c.refuse(f, err.Error())
	default:
		if err := checkJSON(sf.Type, map[reflect.Type]bool{}); err != nil {
			c.refuse(f, err.Error())
			break
		}
		c.all = append(c.all, f)
	}
	return inner, false
}

func (c *fieldCollector) refuse(f structField, reason string) {
	c.plan.problems = append(c.plan.problems, fmt.Errorf("field %s: %s", f.goName, reason))
}

// dominate chooses among fields of one name as encoding/json does: the one that
// is embedded least deeply, then the one with the name in its tag.
func (c *fieldCollector) dominate() {
	byName := map[string][]structField{}
	for _, f := range c.all {
		byName[f.name] = append(byName[f.name], f)
	}
	for _, f := range c.all {
		rivals := byName[f.name]
		if len(rivals) == 0 {
			continue // done
		}
		delete(byName, f.name)
		rivals = slices.DeleteFunc(rivals, func(r structField) bool { return len(r.index) > len(rivals[0].index) })
		if tagged := slices.DeleteFunc(slices.Clone(rivals), func(r structField) bool { return !r.tagged }); len(tagged) > 0 {
			rivals = tagged
		}
		if len(rivals) > 1 {
			c.refuse(rivals[1], fmt.Sprintf("field %s has the same name %q", rivals[0].goName, f.name))
			continue
		}
		c.plan.fields = append(c.plan.fields, rivals[0])
	}
}

// validTagName reports whether encoding/json takes a name from a tag.
func validTagName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) {
			return false
		}
	}
	return name != ""
}

// checkJSON returns why a type cannot be JSON and come back.
func checkJSON(t reflect.Type, seen map[reflect.Type]bool) error {
	isInterface := t.Kind() == reflect.Interface
	if seen[t] || !isInterface && (implements(t, marshalerType) || implements(t, textMarshalerType)) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("JSON cannot hold a %v", t)
	case reflect.Interface:
		if t.NumMethod() > 0 && !t.Implements(unmarshalerType) {
			return fmt.Errorf("JSON cannot be decoded into a %v, an interface with methods", t)
		}
	case reflect.Map:
		if err := checkMapKey(t.Key()); err != nil {
			return err
		}
		return checkJSON(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return checkJSON(t.Elem(), seen)
	case reflect.Struct:
		for sf := range t.Fields() {
			if !sf.IsExported() && !sf.Anonymous || sf.Tag.Get("json") == "-" {
				continue
			}
			if err := checkJSON(sf.Type, seen); err != nil {
				return fmt.Errorf("in its field %s: %w", sf.Name, err)
			}
		}
	}
	return nil
}

func checkMapKey(t reflect.Type) error {
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return nil
	}
	if t.Implements(textMarshalerType) && reflect.PointerTo(t).Implements(textUnmarshalerType) {
		return nil
	}
	return fmt.Errorf("JSON cannot hold a map with keys of type %v", t)
}
