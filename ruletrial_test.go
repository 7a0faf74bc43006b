package session

import (
	"database/sql"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"
)

// What NewManager says about rules, tried on single declarations: package variables
// cannot be declared in a loop.

type trialPart struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
}

// trialStruct returns a struct with a field A that has a tag, and siblings to which it
// may refer.
func trialStruct(typ reflect.Type, tag string) reflect.Type {
	field := func(name string, typ reflect.Type, tag reflect.StructTag) reflect.StructField {
		return reflect.StructField{Name: name, Type: typ, Tag: reflect.StructTag(`json:`+strconv.Quote(strings.ToLower(name))) + " " + tag}
	}
	return reflect.StructOf([]reflect.StructField{
		field("A", typ, reflect.StructTag("validate:"+strconv.Quote(tag))),
		field("Text", reflect.TypeFor[string](), ""), field("Other", reflect.TypeFor[string](), ""),
		field("Number", reflect.TypeFor[int](), ""), field("Real", reflect.TypeFor[float64](), ""),
		field("On", reflect.TypeFor[bool](), ""), field("When", timeType, ""), field("Parts", reflect.TypeFor[[]trialPart](), ""),
		field("Inner", reflect.TypeFor[trialPart](), ""), field("Pointer", reflect.TypeFor[*string](), ""),
	})
}

// trialOf returns what NewManager would say of a Struct of a type.
func trialOf(typ reflect.Type) []error {
	c := &ruleChecker{validator: newValidator()}
	return c.tryNow(&declaration{name: "trial", typ: typ, rules: rulesOf(typ)})
}

// trialFits are tags as they are found in programs, by the type they are put on.
var trialFits = []struct {
	value any
	tags  string // one a line
}{
	{"", `required
		required,min=3,max=32,alphanum
		required,email
		omitempty,email
		email|url
		omitempty,uuid4
		uuid|eq=none
		len=2,alpha
		len=2|len=3
		required,oneof=red green blue
		oneof='dark blue' 'light red' none
		omitempty,oneof=a b,ne=c
		required_if=On true
		required_if=Number 3 Text yes
		required_if=Inner.Kind big
		required_unless=Text none
		required_with=Text
		required_with=Text Other
		required_with_all=Text Other
		required_without=Text
		required_without_all=Text Number
		excluded_if=On true
		excluded_unless=Text x
		excluded_with=Text
		excluded_without_all=Text Other
		skip_unless=Text x,min=3
		eqfield=Text
		nefield=Text
		required,nefield=Text
		eqfield=Text|eqfield=Other
		eqcsfield=Inner.Kind
		necsfield=Inner.Kind
		gtfield=Text
		fieldcontains=Text
		fieldexcludes=Other
		startswith=http://,endswith=/
		startsnotwith=admin
		endsnotwith=.
		contains=@
		containsany=!@#?
		containsrune=@
		excludes= 
		excludesall=0x2C
		excludesall=!@0x7C
		excludesrune=@
		datetime=2006-01-02
		datetime=2006-01-02T15:04:05Z07:00
		timezone
		omitempty,timezone
		url,startswith=https
		http_url
		uri
		ip|cidr
		ipv4
		ip4_addr
		hostname_rfc1123|ip
		hostname_port
		fqdn
		mac
		iso3166_1_alpha2
		country_code
		iso4217
		bcp47_language_tag
		e164
		hexcolor|rgb|rgba
		iscolor
		numeric
		number
		boolean
		lowercase,alphanumunicode
		json
		jwt
		base64
		base64url
		semver
		sha256
		ulid
		isbn
		credit_card
		luhn_checksum
		latitude
		cron
		isdefault
		isdefault|email
		eq=
		ne=
		eq_ignore_case=yes
		noneof=root admin
		gt=0
		gte=1,lte=255
		postcode_iso3166_alpha2=US
		omitzero,min=1
		html|html_encoded
		ascii,printascii
		required,max=50,excludesall=<>
		-`},
	{new(string), `omitnil,email
		omitempty,min=1
		required
		required_without=Text,omitempty,email
		excluded_with=Pointer
		isdefault`},
	{0, `required
		min=1,max=99
		gte=0,lt=150
		gte=-5
		eq=1|eq=2
		oneof=1 2 3
		ne=7
		omitempty,gt=3
		gtfield=Number
		ltecsfield=Inner.Count
		eqcsfield=Inner.Count
		required_if=Text x
		required_with=Pointer
		numeric
		number
		iso4217_numeric
		port
		isdefault
		len=3
		latitude`},
	{int64(0), "min=1\nluhn_checksum"},
	{uint8(0), "max=200\noneof=1 2\nport"},
	{uint16(0), "min=1024\nport"},
	{0.0, "gte=0,lte=1.5\nlatitude\nlongitude\nmax=3\nltfield=Real\nrequired\nnumeric"},
	{false, "required\neq=true\nisdefault\nboolean\nrequired_with=Text\neqfield=On"},
	{new(bool), "required\nomitnil\nomitempty,eq=false"},
	{time.Time{}, "required\ngtfield=When\ngtefield=When,required\nomitempty,gt\nlt\nltecsfield=When\nrequired_if=On true\nisdefault\nomitzero,gte"},
	{&time.Time{}, "omitempty,gtfield=When\nrequired"},
	{time.Duration(0), "min=1s\ngte=5m,lte=1h\nrequired\ngt=0\nomitempty,max=3h"},
	{[]string{}, `required,min=1,dive,required
		dive,email
		unique
		max=10,unique,dive,oneof=a b
		omitempty,dive,uuid4
		len=3
		dive,min=1|eq=
		gt=0,dive,len=1
		dive,url
		required_without=Text
		omitempty,dive,required,max=4
		isdefault`},
	{[][]string{}, "required,dive,min=1,dive,required,email\ndive,dive,alpha"},
	{[]byte{}, "required,max=1024\nmin=1\nlen=32\nomitempty\njson"},
	{[2]int{}, "dive,min=1\nlen=2\nunique\nrequired"},
	{[]int{}, "dive,gte=0,lte=9\nunique,min=1"},
	{[]trialPart{}, "unique=Kind\ndive\nrequired,min=1,dive\nunique=Count,dive\nomitempty,dive,required"},
	{[]*trialPart{}, "dive,required\nunique=Kind\ndive\nomitnil,dive,omitnil"},
	{map[string]string{}, `dive,keys,alpha,endkeys,required
		required,min=1,dive,keys,min=3,max=5,endkeys,email
		dive,keys,eq=a|eq=b,endkeys,max=9
		len=2
		unique
		dive,required
		dive,keys,endkeys,required`},
	{map[string]map[string]int{}, "dive,keys,alpha,endkeys,dive,keys,uuid4,endkeys,min=1\ndive,dive,min=1"},
	{map[int]trialPart{}, "dive,keys,min=1,endkeys\ndive\nunique=Kind"},
	{map[string][]string{}, "dive,min=1,dive,email\ndive,keys,oneof=a b,endkeys,max=3,dive,required"},
	{trialPart{}, "required\nstructonly\nnostructlevel\nomitempty\nomitzero\nrequired,structonly\n-\nisdefault\nrequired_with=Text"},
	{&trialPart{}, "required\nomitempty\nomitnil\nrequired_with=Text\nrequired_if=On true\nexcluded_with=Text\nstructonly"},
	{struct{ At time.Time }{}, "required\nomitempty"},
	{sql.NullString{}, "required\nomitempty"},
	{[16]byte{}, "required\nne=00"[:8]},
	{trialID{}, "uuid4\nrequired,uuid"},
	{trialStamp{}, "required\ngtfield=When\nomitempty,lt"},
	{trialWord(""), "email\noneof=a b\nmin=3"},
}

type (
	trialStamp time.Time
	trialWord  string
	trialID    [16]byte // as google/uuid has it; the validator takes its String
)

func (trialID) String() string { return "6ba7b810-9dad-41d1-80b4-00c04fd430c8" }

func TestRulesThatFit(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, test := range trialFits {
		for tag := range strings.SplitSeq(test.tags, "\n") {
			tag = strings.TrimLeft(tag, "\t")
			typ := reflect.TypeOf(test.value)
			for _, typ := range []reflect.Type{typ, reflect.PointerTo(typ)} {
				if typ.Kind() == reflect.Pointer && strings.HasPrefix(tag, "skip_unless") {
					continue // which panics on a nil pointer
				}
				var problems []error
				require.NotPanics(t, func() { problems = trialOf(trialStruct(typ, tag)) }, "%v `%s`", typ, tag)
				for _, err := range problems {
					t.Errorf("%v `%s`: %v", typ, tag, err)
				}
			}
			tried++
		}
	}
	require.Greater(t, tried, 150)
}

func TestRulesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		value any
		tag   string
		says  string // beside the name of the field
	}{
		// What the validator does not know.
		{"", "emial", "emial"},
		{"", "required,emial", "emial"},
		{"", "email|ulr", "ulr"},
		{"", "Required", "Required"},
		{"", "required, email", " email"},
		{"", "required;email", "required;email"},
		{"", "required,,email", ""},
		{[]string{}, "dive,emial", "emial"},
		{[][]string{}, "dive,dive,min=1,emial", "emial"},
		{map[string]int{}, "dive,keys,alhpa,endkeys,min=1", "alhpa"},
		{map[string]int{}, "dive,keys,alpha,endkeys,mim=1", "mim"},
		{trialPart{}, "required,structOnly", "structOnly"},
		// Rules for something else.
		{0, "email", `rule "email" is for strings`},
		{0, "required,alphanum", `rule "alphanum" is for strings`},
		{0, "required,url", "url"},
		{0, "email|url", ""},
		{0, "email|alpha", `rule "email|alpha" is for strings`},
		{new(int), "omitempty,email", `rule "email" is for strings`},
		{[]int{}, "dive,email", `rule "email" is for strings`},
		{[]string{}, "email", `rule "email" is for strings`},
		{map[int]string{}, "dive,keys,alpha,endkeys,email", `rule "alpha" is for strings`},
		{false, "min=1", "bool"},
		{false, "gt=0", "bool"},
		{false, "oneof=true", "bool"},
		{false, "len=1", "bool"},
		{0.0, "oneof=1.5", "float64"},
		{trialPart{}, "oneof=a", "trialPart"},
		{trialPart{}, "required,min=1", "trialPart"},
		{[]string{}, "oneof=a b", "[]string"},
		{0, "unique", "int"},
		{false, "unique", "bool"},
		{0, "datetime=2006", "int"},
		{time.Time{}, "datetime=2006-01-02", ""},
		{0, "timezone", "int"},
		{[]trialPart{}, "unique=Nothing", ""},
		// Parameters.
		{"", "min=abc", "abc"},
		{"", "min=", ""},
		{"", "min=1.5", "1.5"},
		{0, "max=x", "x"},
		{0, "min=1.5", "1.5"},
		{uint(0), "min=-1", "-1"},
		{0.0, "lte=x", "x"},
		{[]int{}, "len=x", "x"},
		{time.Duration(0), "min=fast", "fast"},
		{[]string{}, "dive,max=x", "x"},
		{map[string]int{}, "dive,keys,max=x,endkeys", "x"},
		{"", "required_if=On", "required_if"},
		{"", "required_if=On true Text", "required_if"},
		{"", "excluded_unless=On", "excluded_unless"},
		{"", "omitempty,max=x", "x"},
		{new(string), "omitnil,max=x", "x"},
		// Fields that are not there.
		{"", "eqfield=Txet", `there is no field "Txet"`},
		{0, "gtefield=text", `there is no field "text"`},
		{"", "eqfield=Text|nefield=Misspelt", `there is no field "Misspelt"`},
		{"", "required_with=Text Misspelt", `there is no field "Misspelt"`},
		{"", "required_if=On true Misspelt 1", `there is no field "Misspelt"`},
		{[]string{}, "dive,nefield=Misspelt", `there is no field "Misspelt"`},
		// What does not fit the shape.
		{0, "dive", "dive"},
		{"", "required,dive,required", "dive"},
		{trialPart{}, "dive", "dive"},
		{[]string{}, "dive,dive,email", "dive"},
		{[]string{}, "dive,keys,alpha,endkeys", `rule "keys" does not fit a []string`},
		{map[string]string{}, "dive,keys,alpha", `lacks "endkeys"`},
		{map[string]string{}, "keys,alpha,endkeys", ""},
	} {
		name := fmt.Sprintf("%T %s", test.value, test.tag)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			typ := reflect.TypeOf(test.value)
			for _, in := range []reflect.Type{typ, reflect.PointerTo(typ)} {
				var problems []error
				require.NotPanics(t, func() { problems = trialOf(trialStruct(in, test.tag)) })
				require.Len(t, problems, 1, "%v", problems)
				require.ErrorContains(t, problems[0], "field A of struct")
				require.ErrorContains(t, problems[0], test.says)
			}
			for _, in := range []reflect.Type{ // wherever it is
				reflect.SliceOf(trialStruct(typ, test.tag)), reflect.MapOf(timeType, reflect.PointerTo(trialStruct(typ, test.tag))),
				trialStruct(reflect.ArrayOf(2, trialStruct(typ, test.tag)), "-"),
			} {
				require.Len(t, trialOf(in), 1)
			}
		})
	}
}

// TestEveryProblemOfTheRules: one does not hide the others.
func TestEveryProblemOfTheRules(t *testing.T) {
	t.Parallel()
	type outer struct {
		A int       `json:"a" validate:"email,alpha,max=x"`
		B string    `json:"b" validate:"emial"`
		C []float64 `json:"c" validate:"dive,email"`
		D string    `json:"d" validate:"email"`
	}
	var texts []string
	for _, err := range trialOf(reflect.TypeFor[map[string][]outer]()) {
		texts = append(texts, err.Error())
	}
	wants := []string{`field A of session.outer: rule "email" is for strings`, `field A of session.outer: rule "alpha" is for strings`, "field A of session.outer: ", "field B of session.outer: ", `field C of session.outer: rule "email"`}
	require.Len(t, texts, len(wants), "%q", texts)
	for i, want := range wants {
		require.Contains(t, texts[i], want)
	}
}

func TestRuleOfANestedStructIsBlamedOnce(t *testing.T) {
	t.Parallel()
	type inner struct {
		X bool `json:"x" validate:"min=1"`
	}
	type outer struct {
		A int     `json:"a" validate:"min=0"`
		B string  `json:"b" validate:"max=9"`
		C []inner `json:"c" validate:"dive"`
		D *inner  `json:"d"`
	}
	problems := trialOf(reflect.TypeFor[outer]())
	require.Len(t, problems, 1, "%v", problems)
	require.ErrorContains(t, problems[0], "field X of session.inner: ")
}

type trialbase struct {
	Z int `json:"z" validate:"min=0"`
}

// TestRulesOfUnusualStructs cannot bring NewManager down.
func TestRulesOfUnusualStructs(t *testing.T) {
	t.Parallel()
	type withEmbedded struct {
		trialbase `validate:"required"`
		A         int `json:"a" validate:"gtfield=Z"`
	}
	type tree struct {
		Name string          `json:"name" validate:"required"`
		Kids []tree          `json:"kids" validate:"dive"`
		By   map[string]tree `json:"by" validate:"dive,keys,alpha,endkeys"`
		Up   *tree           `json:"up" validate:"omitempty"`
		_    int             `validate:"required"`
		priv int             `validate:"min=1"`
	}
	type anything struct {
		A any            `json:"a" validate:"required,email"`
		B []any          `json:"b" validate:"dive,required"`
		C map[any]string `json:"c" validate:"dive,keys,required,endkeys,email"`
		E error          `json:"e" validate:"omitempty"`
		F func()         `json:"f" validate:"required"`
		G chan int       `json:"g" validate:"omitempty"`
	}
	type times struct {
		At  trialStamp            `json:"at" validate:"required"`
		All []trialStamp          `json:"all" validate:"dive,required"`
		By  map[string]trialStamp `json:"by"`
		P   *trialStamp           `json:"p"`
	}
	_ = tree{priv: 1}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[withEmbedded](), reflect.TypeFor[tree](), reflect.TypeFor[anything](), reflect.TypeFor[times](),
		reflect.TypeFor[trialStamp](), reflect.TypeFor[[]trialStamp](), reflect.TypeFor[sql.NullTime](), reflect.TypeFor[struct{}](),
	} {
		t.Run(typ.String(), func(t *testing.T) {
			t.Parallel()
			require.NotPanics(t, func() { require.Empty(t, trialOf(typ)) })
			own := &ruleChecker{validator: validator.New(), custom: true}
			require.NotPanics(t, func() { require.Empty(t, own.tryNow(&declaration{typ: typ, rules: rulesOf(typ)})) })
		})
	}
}

// TestRulesForTextAreUselessElsewhere is why ofText is there: on what is no string these
// rules say the same of nearly every value, or panic; none can be meant.
func TestRulesForTextAreUselessElsewhere(t *testing.T) {
	t.Parallel()
	// Rules that take anything for text, because they look at "<int Value>" and the like.
	accepting := []string{"html", "url_encoded", "multibyte"}
	param := map[string]string{"contains": "=@", "containsany": "=@!", "containsrune": "=@", "startswith": "=a", "endswith": "=z"}
	require.NotEmpty(t, ofText)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(ofText))), len(ofText), "twice")
	for _, name := range ofText {
		for _, v := range []any{
			0, 1, -7, int8(3), int64(1 << 40), uint(0), uint8(1), uint64(978), true, false, 0.0, 1.5, float32(-1),
			[]int{1},
			[]string{"a@example.org"},
			[]byte("a@example.org"),
			[1]string{"http://example.org"},
			map[string]string{"a": "b"},
		} {
			err := caught(func() error { return newValidator().Var(v, name+param[name]) })
			require.NotContains(t, fmt.Sprint(err), "Undefined validation function", name)
			if err == nil {
				require.Contains(t, accepting, name, "%T(%v)", v, v)
			}
			typ := reflect.TypeOf(v)
			require.NotEmpty(t, trialOf(trialStruct(typ, name+param[name])), "%s on %v", name, typ)
		}
		require.Empty(t, trialOf(trialStruct(reflect.TypeFor[string](), name+param[name])), name)
	}
}
