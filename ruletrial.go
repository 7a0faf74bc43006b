package session

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"
)

// The validator finds a misspelled rule when it first meets the type, and a rule
// that does not fit when it first reaches it: both by a panic, in a request. So each
// rule is tried beforehand, alone, on samples of its type.

var triedByDefault sync.Map // *declaration → []error

// tryRules returns what is wrong with the rules of a registered declaration.
func (c *ruleChecker) tryRules(d *declaration) []error {
	if c.custom {
		return c.tryNow(d)
	}
	if problems, ok := triedByDefault.Load(d); ok {
		return problems.([]error)
	}
	problems := c.tryNow(d)
	triedByDefault.Store(d, problems)
	return problems
}

func (c *ruleChecker) tryNow(d *declaration) []error {
	t := trial{validator: c.validator, custom: c.custom, seen: map[reflect.Type]bool{}}
	if d.rule != "" {
		t.field(nil, reflect.StructField{Name: "Value", Type: d.typ}, d.rule, fmt.Sprintf("WithRule(%q) of key %q", d.rule, d.name))
	}
	if d.rules != nil && (d.rules.tags || c.custom) {
		t.below(d.typ)
	}
	return t.problems
}

type trial struct {
	validator *validator.Validate
	custom    bool
	seen      map[reflect.Type]bool
	problems  []error
}

// below tries the rules of every struct that a value of typ can hold.
func (t *trial) below(typ reflect.Type) {
	if typ = innermost(typ); !isFields(typ) || t.seen[typ] {
		return
	}
	t.seen[typ] = true
	before := len(t.problems)
	for sf := range typ.Fields() {
		if !sf.IsExported() && !sf.Anonymous {
			continue
		}
		if rule := sf.Tag.Get(ruleTag); rule != "" && rule != "-" {
			t.field(typ, sf, rule, fmt.Sprintf("field %s of %v", sf.Name, typ))
		}
		t.below(sf.Type)
	}
	if len(t.problems) > before {
		return
	}
	// What is known of the type beside its tags, as a whole.
	for _, v := range []reflect.Value{reflect.Zero(typ), filled(typ)} {
		if err := caught(func() error { return t.validator.Struct(v.Interface()) }); isUnusable(err) {
			t.problems = append(t.problems, fmt.Errorf("%v: %w", typ, err))
			return
		}
	}
}

// isUnusable tells a panic from a broken rule, which samples may well break.
func isUnusable(err error) bool {
	_, broken := err.(validator.ValidationErrors) //nolint:errorlint // as the validator returns it
	return err != nil && !broken
}

// field tries the rules of one field, each by itself: the validator stops at the
// first one that a sample breaks.
func (t *trial) field(in reflect.Type, sf reflect.StructField, tag, what string) {
	fail := func(err error) { t.problems = append(t.problems, fmt.Errorf("%s: %w", what, err)) }
	// As a whole, for what concerns the order of its parts.
	if err := t.try(in, sf.Name, sf.Type, tag, reflect.Zero(sf.Type)); err != nil {
		fail(err)
		return
	}
	typ := sf.Type
	rules := strings.Split(tag, ",")
	for i := 0; i < len(rules); i++ {
		switch rules[i] {
		case "dive":
			elem, ok := element(typ)
			if !ok {
				fail(fmt.Errorf("rule \"dive\" does not fit a %v", typ))
				return
			}
			if i+1 < len(rules) && rules[i+1] == "keys" {
				end := slices.Index(rules, "endkeys")
				if typ = deref(typ); typ.Kind() != reflect.Map || end < 0 {
					fail(fmt.Errorf("rule \"keys\" does not fit a %v, or lacks \"endkeys\"", typ))
					return
				}
				t.field(in, reflect.StructField{Name: sf.Name, Type: typ.Key()}, strings.Join(rules[i+2:end], ","), what+", keys")
				rules = slices.Delete(slices.Clone(rules), i+1, end+1)
			}
			typ = elem
		case "omitempty", "omitnil", "omitzero", "structonly", "nostructlevel", "":
		default:
			if err := errors.Join(t.fits(rules[i], typ), refers(in, rules[i])); err != nil {
				fail(err)
				continue
			}
			if err := t.try(in, sf.Name, typ, rules[i], reflect.Zero(typ), filled(typ)); err != nil {
				fail(fmt.Errorf("rule %q: %w", rules[i], err))
			}
		}
	}
}

// ofText are rules of the validator that look at a value's text alone. What is no
// string they refuse without saying so, or they look at text that nobody wrote.
var ofText = strings.Fields(`
	alpha alphaspace alphanum alphanumspace alphaunicode alphanumunicode hexadecimal hexcolor rgb rgba hsl hsla cmyk e164
	email url http_url https_url uri urn_rfc2141 base32 base64 base64url base64rawurl
	contains containsany containsrune startswith endswith isbn isbn10 isbn13 issn eth_addr btc_addr
	eth_addr_checksum btc_addr_bech32 credit_card iscolor duration
	md4 md5 sha256 sha384 sha512 ripemd128 ripemd160 tiger128 tiger160 tiger192 ascii printascii multibyte datauri ssn
	ip ipv4 ipv6 cidr cidrv4 cidrv6 mac tcp_addr tcp4_addr tcp6_addr udp_addr udp4_addr udp6_addr ip_addr ip4_addr ip6_addr
	hostname hostname_rfc1123 hostname_label hostname_port dns_rfc1035_label fqdn uds_exists
	html html_encoded url_encoded jwt semver bic bic_iso_9362_2014 cve iso4217 postcode_iso3166_alpha2
	iso3166_1_alpha2 iso3166_1_alpha2_eu iso3166_1_alpha3 iso3166_1_alpha3_eu iso3166_2 bcp47_language_tag
	mongodb mongodb_connection_string cron`)

// fits refuses rules for text on what is none.
func (t *trial) fits(rule string, typ reflect.Type) error {
	switch typ = deref(typ); typ.Kind() {
	case reflect.String, reflect.Interface:
		return nil
	case reflect.Struct:
		if t.custom { // which may turn it into a string
			return nil
		}
	}
	for alternative := range strings.SplitSeq(rule, "|") {
		name, _, _ := strings.Cut(alternative, "=")
		if !slices.Contains(ofText, name) {
			return nil
		}
	}
	return fmt.Errorf("rule %q is for strings and does not fit a %v", rule, typ)
}

// Rules that name fields beside their own: one, several, or each with a value.
var (
	ofOneField    = strings.Fields("eqfield nefield gtfield gtefield ltfield ltefield fieldcontains fieldexcludes postcode_iso3166_alpha2_field")
	ofFields      = strings.Fields("required_with required_with_all required_without required_without_all excluded_with excluded_with_all excluded_without excluded_without_all")
	ofFieldValues = strings.Fields("required_if required_unless excluded_if excluded_unless skip_unless")
)

// refers looks for the fields that a rule names: without them it would refuse
// everything, or nothing.
func refers(in reflect.Type, rule string) error {
	var errs []error
	for alternative := range strings.SplitSeq(rule, "|") {
		errs = append(errs, refersOne(in, alternative))
	}
	return errors.Join(errs...)
}

func refersOne(in reflect.Type, rule string) error {
	name, param, _ := strings.Cut(rule, "=")
	var fields []string
	switch words := strings.Fields(param); {
	case slices.Contains(ofOneField, name):
		fields = []string{param}
	case slices.Contains(ofFields, name):
		fields = words
	case slices.Contains(ofFieldValues, name) && !strings.Contains(param, "'"): // quotes make words of several
		for i := 0; i < len(words); i += 2 {
			fields = append(fields, words[i])
		}
	}
	for _, f := range fields {
		first, _, _ := strings.Cut(f, ".")
		first, _, _ = strings.Cut(first, "[")
		if in != nil {
			if _, ok := in.FieldByName(first); ok {
				continue
			}
		}
		return fmt.Errorf("rule %q: there is no field %q", rule, first)
	}
	return nil
}

func element(t reflect.Type) (reflect.Type, bool) {
	if t = deref(t); isContainer(t) {
		return t.Elem(), true
	}
	return nil, false
}

// try checks values against a rule, in a struct with the exported fields of in
// beside it, to which the rule may refer.
func (t *trial) try(in reflect.Type, name string, typ reflect.Type, rule string, values ...reflect.Value) error {
	if first, _ := utf8.DecodeRuneInString(name); !unicode.IsUpper(first) { // an embedded struct
		name = "Embedded"
	}
	fields := []reflect.StructField{{Name: name, Type: typ, Tag: reflect.StructTag(ruleTag + ":" + strconv.Quote(rule))}}
	for i := 0; in != nil && i < in.NumField(); i++ {
		if sf := in.Field(i); sf.IsExported() && sf.Name != name {
			fields = append(fields, reflect.StructField{Name: sf.Name, Type: sf.Type, Tag: ruleTag + `:"-"`})
		}
	}
	around := reflect.StructOf(fields)
	for _, v := range values {
		s := reflect.New(around).Elem()
		s.Field(0).Set(v)
		for i := 1; i < s.NumField(); i++ {
			s.Field(i).Set(filled(fields[i].Type))
		}
		if err := caught(func() error { return t.validator.Struct(s.Interface()) }); isUnusable(err) {
			return err
		}
	}
	return nil
}

// filled returns a value of a type that is not empty.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	fill(v, 4)
	return v
}

func fill(v reflect.Value, depth int) {
	if depth == 0 {
		return
	}
	if t := v.Type(); t.Kind() == reflect.Struct && !isFields(t) {
		v.Set(reflect.ValueOf(time.Unix(1, 0)).Convert(t))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.String:
		v.SetString("1")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth-1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth-1)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth-1)
		fill(elem, depth-1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, elem)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth-1)
			}
		}
	}
}
