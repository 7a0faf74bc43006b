package session

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-playground/validator/v10"
)

// typeRules is what a type asks for when its values are stored.
type typeRules struct {
	tags    bool // `validate` tags in it or below
	method  bool // Validate() error on it, or on what it is a container of
	structs bool // structs that a validator may know rules for by their type
	loose   bool // containers of structs that their tags do not dive into
}

var allRules sync.Map // reflect.Type → *typeRules

// rulesOf returns the rules of a type, nil for none.
func rulesOf(t reflect.Type) *typeRules {
	if t.Name() != "" && t.PkgPath() == "" {
		return nil // int, string and the like
	}
	if r, ok := allRules.Load(t); ok {
		return r.(*typeRules)
	}
	r := new(typeRules)
	r.collect(t, map[reflect.Type]bool{})
	for e, n := t, 0; n < maxWrappers; n++ {
		r.method = r.method || implements(e, validatorType)
		if !isContainer(e) && e.Kind() != reflect.Pointer {
			break
		}
		e = e.Elem()
	}
	if *r == (typeRules{}) {
		r = nil
	}
	got, _ := allRules.LoadOrStore(t, r)
	return got.(*typeRules)
}

type selfValidator interface{ Validate() error }

var validatorType = reflect.TypeFor[selfValidator]()

const ruleTag = "validate"

func isContainer(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}

// maxWrappers ends the way through containers of containers, for types such as
// type tree []tree.
const maxWrappers = 64

// innermost returns what the containers and pointers of t hold in the end.
func innermost(t reflect.Type) reflect.Type {
	for n := 0; n < maxWrappers && (isContainer(t) || t.Kind() == reflect.Pointer); n++ {
		t = t.Elem()
	}
	return t
}

func deref(t reflect.Type) reflect.Type {
	for n := 0; n < maxWrappers && t.Kind() == reflect.Pointer; n++ {
		t = t.Elem()
	}
	return t
}

// collect looks at everything a value of t can hold, but for interfaces.
func (r *typeRules) collect(t reflect.Type, seen map[reflect.Type]bool) {
	if t = innermost(t); !isFields(t) || seen[t] {
		return
	}
	seen[t] = true
	r.structs = true
	for sf := range t.Fields() {
		if !sf.IsExported() && !sf.Anonymous {
			continue
		}
		rule := sf.Tag.Get(ruleTag)
		r.tags = r.tags || rule != "" && rule != "-"
		r.loose = r.loose || isLoose(&sf)
		r.collect(sf.Type, seen)
	}
}

// isLoose reports whether a field is a container of structs that the validator is
// not told to dive into.
func isLoose(sf *reflect.StructField) bool {
	t := deref(sf.Type)
	if !isContainer(t) || !sf.IsExported() {
		return false
	}
	rule := sf.Tag.Get(ruleTag)
	return rule != "-" && isFields(innermost(t)) && dives(rule) < levels(t)
}

// dives counts how many levels of containers a tag tells the validator to go down.
func dives(rule string) int {
	n, inKeys := 0, false
	for part := range strings.SplitSeq(rule, ",") {
		switch part {
		case "keys":
			inKeys = true
		case "endkeys":
			inKeys = false
		case "dive":
			if !inKeys {
				n++
			}
		}
	}
	return n
}

func levels(t reflect.Type) int {
	n := 0
	for ; n < maxWrappers; n++ {
		if t = deref(t); !isContainer(t) {
			break
		}
		t = t.Elem()
	}
	return n
}

// isFields reports whether the validator looks at the fields of a type. What
// converts to a time.Time is a value to it.
func isFields(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !t.ConvertibleTo(timeType)
}

// newValidator returns the default validator. Its errors name fields as JSON does.
func newValidator() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled(), validator.WithTagNameFuncBlankOmit())
	v.RegisterTagNameFunc(jsonName)
	return v
}

// jsonName returns what JSON calls a field, empty for an embedded struct whose
// fields take its place.
func jsonName(sf reflect.StructField) string {
	name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
	switch {
	case name != "" && name != "-":
		return name
	case sf.Anonymous && name == "":
		return ""
	default:
		return sf.Name
	}
}

// defaultValidator is shared: it caches what it learns about types.
var defaultValidator = sync.OnceValue(newValidator)

// ruleChecker checks values. It is part of the codec of a manager.
type ruleChecker struct {
	validator *validator.Validate
	custom    bool // it may have rules that no tag tells of
}

// checks reports whether values of d have to be validated.
func (c *ruleChecker) checks(d *declaration) bool {
	return d.rule != "" || d.rules != nil && (d.rules.tags || d.rules.method || c.custom && d.rules.structs)
}

// validate checks the value that v, a *T, points to.
func (c *ruleChecker) validate(d *declaration, v any) error {
	if !c.checks(d) {
		return nil
	}
	f := findings{c: c, rules: d.rules}
	value := reflect.ValueOf(v).Elem()
	if d.rules != nil {
		f.value("", value, true)
	}
	if d.rule != "" {
		f.rule(value, d.rule)
	}
	return f.result(d.name)
}

// findings are the broken rules of one value.
type findings struct {
	c      *ruleChecker
	rules  *typeRules
	broken validator.ValidationErrors
	fields []InvalidField
	errs   []error // of Validate methods
	failed error   // of the checking itself
}

func (f *findings) result(key string) error {
	switch {
	case f.failed != nil:
		return &ValueError{Key: key, Err: f.failed}
	case len(f.fields) == 0:
		return nil
	}
	errs := f.errs
	if len(f.broken) > 0 {
		errs = append([]error{f.broken}, errs...)
	}
	err := errs[0]
	if len(errs) > 1 {
		err = errors.Join(errs...)
	}
	return &ValidationError{Key: key, Fields: f.fields, Err: err}
}

// value checks one value and, in containers, all that they hold. Validate methods
// are those of the declared type, and of what it is a container of.
func (f *findings) value(path string, v reflect.Value, methods bool) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	before := len(f.fields)
	switch v.Kind() {
	case reflect.Struct:
		if isFields(v.Type()) {
			f.structure(path, v)
		}
	default:
		f.elements(path, v, methods)
	}
	if !methods || len(f.fields) > before || !implements(v.Type(), validatorType) {
		return // a method may count on its tags
	}
	if !v.CanAddr() { // the entry of a map
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		v = p.Elem()
	}
	if err := v.Addr().Interface().(selfValidator).Validate(); err != nil {
		f.errs = append(f.errs, err)
		f.fields = append(f.fields, InvalidField{Name: path, Err: err})
	}
}

func (f *findings) elements(path string, v reflect.Value, methods bool) {
	switch v.Kind() {
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			f.value(path+"["+strconv.Itoa(i)+"]", v.Index(i), methods)
		}
	case reflect.Map:
		at := make(map[string]reflect.Value, v.Len())
		for it := v.MapRange(); it.Next(); {
			at[fmt.Sprintf("%s[%v]", path, it.Key())] = it.Value()
		}
		for _, path := range slices.Sorted(maps.Keys(at)) {
			f.value(path, at[path], methods)
		}
	}
}

func (f *findings) structure(path string, v reflect.Value) {
	target := v.Interface()
	if v.CanAddr() {
		target = v.Addr().Interface()
	}
	prefix := 0
	if name := v.Type().Name(); name != "" {
		prefix = len(name) + 1
	}
	f.guard(func() error { return f.c.validator.Struct(target) }, path, prefix)
	if f.rules.loose {
		f.looseFields(path, v)
	}
}

// looseFields looks in a struct that the validator has checked for containers that
// it was not told to dive into.
func (f *findings) looseFields(path string, v reflect.Value) {
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() && !sf.Anonymous || sf.Tag.Get(ruleTag) == "-" {
			continue
		}
		at := join(path, jsonName(sf))
		field := v.Field(i)
		for field.Kind() == reflect.Pointer && !field.IsNil() {
			field = field.Elem()
		}
		switch {
		case isLoose(&sf):
			f.elements(at, field, false)
		case isFields(field.Type()) && !strings.Contains(","+sf.Tag.Get(ruleTag)+",", ",structonly,"):
			f.looseFields(at, field)
		}
	}
}

func join(path, name string) string {
	if path == "" || name == "" {
		return path + name
	}
	return path + "." + name
}

// rule checks the tag of WithRule.
func (f *findings) rule(v reflect.Value, tag string) {
	f.guard(func() error { return f.c.validator.Var(v.Interface(), tag) }, "", 0)
}

// guard calls the validator, which panics when a rule does not fit its value.
// prefix is how much of a field's path names the type.
func (f *findings) guard(check func() error, path string, prefix int) {
	err := caught(check)
	var broken validator.ValidationErrors
	if !errors.As(err, &broken) {
		if err != nil && f.failed == nil {
			f.failed = err
		}
		return
	}
	f.broken = append(f.broken, broken...)
	for _, b := range broken {
		name := b.Namespace()
		name = name[min(prefix, len(name)):]
		f.fields = append(f.fields, InvalidField{Name: join(path, name), Rule: b.Tag(), Param: b.Param()})
	}
}

// caught turns a panic of the validator into an error.
func caught(check func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			if name, ok := strings.CutPrefix(fmt.Sprint(p), "Undefined validation function '"); ok {
				name, _, _ = strings.Cut(name, "'")
				err = fmt.Errorf("there is no rule %q", name)
				return
			}
			err = fmt.Errorf("the validator panics: %v", p)
		}
	}()
	return check()
}
