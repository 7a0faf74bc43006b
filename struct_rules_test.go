package session_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-playground/validator/v10"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

type (
	rulAddress struct {
		City string `json:"city" validate:"required"`
		Zip  string `json:"zip" validate:"omitempty,len=4"`
	}
	rulItem struct {
		Price int    `json:"price" validate:"min=1"`
		Name  string `json:"name,omitempty" validate:"max=3"`
	}
	RulBase struct {
		Level int `json:"level" validate:"lte=9"`
	}
	rulOrder struct {
		RulBase
		Owner   string               `json:"owner" validate:"excludes=x"`
		Address *rulAddress          `json:"address"`
		Items   []rulItem            `json:"items" validate:"max=3"` // no dive
		Dived   []rulItem            `json:"dived" validate:"max=3,dive"`
		ByName  map[string]*rulItem  `json:"by_name"`
		Fixed   [2]rulItem           `json:"fixed" validate:"-"`
		Pairs   [][]rulItem          `json:"pairs"`
		Groups  map[string][]rulItem `json:"groups" validate:"dive,max=2"` // dives once, and there are two levels
		Deep    rulDeep              `json:"deep"`
		Mails   []string             `json:"mails" validate:"dive,email"`
		NoJSON  struct {
			Untagged int `validate:"gte=0"`
		} `json:"no_json"`
		At   rulStamp `json:"at,omitzero"`
		Only rulDeep  `json:"only" validate:"structonly"`
	}
	rulDeep struct {
		Inner []struct {
			Items []rulItem `json:"items"`
		} `json:"inner"`
	}
	rulStamp time.Time // which the validator takes for a time
)

func (s rulStamp) MarshalJSON() ([]byte, error)  { return time.Time(s).MarshalJSON() }
func (s *rulStamp) UnmarshalJSON(b []byte) error { return (*time.Time)(s).UnmarshalJSON(b) }

// requireInvalid holds a *ValidationError to its fields: "name rule=param".
func requireInvalid(t *testing.T, err error, key string, fields ...string) {
	t.Helper()
	var invalid *session.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, key, invalid.Key)
	got := make([]string, len(invalid.Fields))
	for i, f := range invalid.Fields {
		switch {
		case f.Err != nil:
			got[i] = f.Name + " " + f.Err.Error()
			require.ErrorIs(t, err, f.Err)
			require.Empty(t, f.Rule+f.Param)
		case f.Param != "":
			got[i] = f.Name + " " + f.Rule + "=" + f.Param
		default:
			got[i] = f.Name + " " + f.Rule
		}
	}
	require.ElementsMatch(t, fields, got)
}

func TestRulesOfAStruct(t *testing.T) {
	t.Parallel()
	orders := session.Struct[rulOrder]()
	good := rulItem{Price: 1}
	for name, test := range map[string]struct {
		change func(o *rulOrder)
		fields []string
	}{
		"embedded":       {func(o *rulOrder) { o.Level = 10 }, []string{"level lte=9"}},
		"own":            {func(o *rulOrder) { o.Owner = "x-secret" }, []string{"owner excludes=x"}},
		"pointer":        {func(o *rulOrder) { o.Address = &rulAddress{Zip: "12345"} }, []string{"address.city required", "address.zip len=4"}},
		"slice itself":   {func(o *rulOrder) { o.Items = []rulItem{good, good, good, good} }, []string{"items max=3"}},
		"no dive":        {func(o *rulOrder) { o.Items = []rulItem{good, good, {Price: 0, Name: "long-secret"}} }, []string{"items[2].price min=1", "items[2].name max=3"}},
		"dive":           {func(o *rulOrder) { o.Dived = []rulItem{good, {}} }, []string{"dived[1].price min=1"}},
		"map of pointer": {func(o *rulOrder) { o.ByName = map[string]*rulItem{"a": &good, "b": {}, "nil": nil} }, []string{"by_name[b].price min=1"}},
		"excluded":       {func(o *rulOrder) { o.Fixed[0].Price = -1 }, nil},
		"two levels":     {func(o *rulOrder) { o.Pairs = [][]rulItem{{good}, {good, {}}} }, []string{"pairs[1][1].price min=1"}},
		"one dive":       {func(o *rulOrder) { o.Groups = map[string][]rulItem{"g": {good, {}}} }, []string{"groups[g][1].price min=1"}},
		"one dive, max":  {func(o *rulOrder) { o.Groups = map[string][]rulItem{"g": {good, good, good}} }, []string{"groups[g] max=2"}},
		"deep": {func(o *rulOrder) {
			o.Deep.Inner = append(o.Deep.Inner, struct {
				Items []rulItem `json:"items"`
			}{Items: []rulItem{{}}})
		}, []string{"deep.inner[0].items[0].price min=1"}},
		"texts":  {func(o *rulOrder) { o.Mails = []string{"a@example.org", "secret"} }, []string{"mails[1] email"}},
		"no tag": {func(o *rulOrder) { o.NoJSON.Untagged = -7 }, []string{"no_json.Untagged gte=0"}},
		"stamp":  {func(o *rulOrder) { o.At = rulStamp(time.Unix(1, 0)) }, nil},
		"structonly": {func(o *rulOrder) {
			o.Only.Inner = append(o.Only.Inner, struct {
				Items []rulItem `json:"items"`
			}{Items: []rulItem{{}}})
		}, nil},
		"everything": {func(o *rulOrder) { o.Level, o.Owner, o.Items = 10, "x", []rulItem{{}} }, []string{"level lte=9", "owner excludes=x", "items[0].price min=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o rulOrder
			test.change(&o)
			vis := newVisitor(t, newManager(t))
			vis.request(func(ctx context.Context) {
				_, updated := orders.Update(ctx, func(v *rulOrder) error { test.change(v); return nil })
				_, got := orders.GetOrSet(ctx, func() (rulOrder, error) { return o, nil })
				for _, err := range []error{orders.Set(ctx, o), updated, got} {
					if test.fields == nil {
						require.NoError(t, err)
						continue
					}
					requireInvalid(t, err, "rulOrder", test.fields...)
					var broken validator.ValidationErrors
					require.ErrorAs(t, err, &broken)
					require.Len(t, broken, len(test.fields))
					require.NotContains(t, err.Error(), "secret")
					require.NotContains(t, err.Error(), "-7")
				}
				_, ok, err := orders.Lookup(ctx)
				require.NoError(t, err)
				require.Equal(t, test.fields == nil, ok, "what is refused changes nothing")
			})
			require.Equal(t, test.fields == nil, vis.cookie != "", "and is not stored")
		})
	}
}

func TestValidationErrorText(t *testing.T) {
	t.Parallel()
	newVisitor(t, newManager(t)).request(func(ctx context.Context) {
		err := session.Struct[rulOrder]().Set(ctx, rulOrder{RulBase: RulBase{Level: 77}, Address: &rulAddress{Zip: "12345"}})
		require.EqualError(t, err, `session: "rulOrder" is not valid: level breaks the rule lte=9; address.city breaks the rule required; address.zip breaks the rule len=4`)
		err = session.Key[int]("n").WithRule("min=3").Set(ctx, 2)
		require.EqualError(t, err, `session: "n" is not valid: breaks the rule min=3`)
		err = session.Key[rulSpan]("span").Set(ctx, rulSpan{From: 2, To: 1})
		require.EqualError(t, err, `session: "span" is not valid: `+errRulSpan.Error())
	})
}

type rulSpan struct{ From, To int }

var errRulSpan = errors.New("the end is before the beginning")

func (s rulSpan) Validate() error {
	if s.To < s.From {
		return errRulSpan
	}
	return nil
}

type rulSpanPointer struct {
	From int `json:"from" validate:"gte=0"`
	To   int `json:"to"`
}

func (s *rulSpanPointer) Validate() error { return rulSpan{s.From, s.To}.Validate() }

type rulWords []string

func (w rulWords) Validate() error {
	if len(w) > 1 {
		return errRulSpan
	}
	return nil
}

// rulTry returns a test of values that a Typed refuses, and of one that it takes.
func rulTry[T any](k session.Typed[T], good T, bad map[string]T) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		vis := newVisitor(t, newManager(t))
		for field, v := range bad {
			fields := strings.Split(field, ", ")
			vis.request(func(ctx context.Context) {
				requireInvalid(t, k.Set(ctx, v), k.Name(), fields...)
				_, err := k.Update(ctx, func(p *T) error { *p = v; return nil })
				requireInvalid(t, err, k.Name(), fields...)
				_, err = k.GetOrSet(ctx, func() (T, error) { return v, nil })
				requireInvalid(t, err, k.Name(), fields...)
				_, ok, err := k.Lookup(ctx)
				require.NoError(t, err)
				require.False(t, ok)
			})
			require.Empty(t, vis.cookie)
		}
		vis.request(func(ctx context.Context) {
			got, err := k.GetOrSet(ctx, func() (T, error) { return good, nil })
			require.NoError(t, err)
			require.Equal(t, good, got)
			require.NoError(t, k.Set(ctx, good))
		})
	}
}

func TestRulesOfAKey(t *testing.T) {
	t.Parallel()
	item := rulItem{Price: 1}
	end := "the end is before the beginning"
	type anonymous = struct {
		Age int `json:"age" validate:"min=1"`
	}
	for name, test := range map[string]func(t *testing.T){
		"struct":             rulTry(session.Key[rulItem]("k"), item, map[string]rulItem{"price min=1": {}, "price min=1, name max=3": {Name: "long"}}),
		"pointer":            rulTry(session.Key[*rulItem]("k"), &item, map[string]*rulItem{"price min=1": {}}),
		"slice":              rulTry(session.Key[[]rulItem]("k"), []rulItem{item}, map[string][]rulItem{"[1].price min=1": {item, {}}, "[0].price min=1, [2].name max=3": {{}, item, {1, "long"}}}),
		"slices":             rulTry(session.Key[[][]rulItem]("k"), [][]rulItem{}, map[string][][]rulItem{"[1][0].price min=1": {nil, {{}}}}),
		"array":              rulTry(session.Key[[2]rulItem]("k"), [2]rulItem{item, item}, map[string][2]rulItem{"[1].price min=1": {item}}),
		"map":                rulTry(session.Key[map[string]rulItem]("k"), map[string]rulItem{"a": item}, map[string]map[string]rulItem{"[b].price min=1": {"a": item, "b": {}}}),
		"map of pointers":    rulTry(session.Key[map[int][]*rulItem]("k"), map[int][]*rulItem{1: {nil, &item}}, map[string]map[int][]*rulItem{"[7][1].price min=1": {7: {nil, {}}}}),
		"anonymous":          rulTry(session.Key[anonymous]("k"), anonymous{Age: 1}, map[string]anonymous{"age min=1": {}}),
		"anonymous slice":    rulTry(session.Key[[]anonymous]("k"), []anonymous{{Age: 1}}, map[string][]anonymous{"[0].age min=1": {{}}}),
		"generic":            rulTry(session.Key[rulBox[rulItem]]("k"), rulBox[rulItem]{V: item}, map[string]rulBox[rulItem]{"v.price min=1": {}}),
		"method":             rulTry(session.Key[rulSpan]("k"), rulSpan{1, 2}, map[string]rulSpan{" " + end: {2, 1}}),
		"pointer method":     rulTry(session.Key[rulSpanPointer]("k"), rulSpanPointer{1, 2}, map[string]rulSpanPointer{" " + end: {2, 1}, "from gte=0": {-1, -2}}),
		"method of a struct": rulTry(session.Struct[rulSpanPointer](), rulSpanPointer{1, 2}, map[string]rulSpanPointer{" " + end: {2, 1}}),
		"methods in a slice": rulTry(session.Key[[]rulSpanPointer]("k"), nil, map[string][]rulSpanPointer{"[1] " + end: {{}, {2, 1}}}),
		"methods in a map":   rulTry(session.Key[map[string]rulSpanPointer]("k"), nil, map[string]map[string]rulSpanPointer{"[a] " + end: {"a": {2, 1}}}),
		"method of a slice":  rulTry(session.Key[rulWords]("k"), rulWords{"a"}, map[string]rulWords{" " + end: {"a", "b"}}),
		"rule of a string":   rulTry(session.Key[string]("k").WithRule("email"), "a@example.org", map[string]string{" email": "nobody"}),
		"rule of an int":     rulTry(session.Key[int]("k").WithRule("min=3,max=9"), 3, map[string]int{" min=3": 2, " max=9": 10}),
		"rule of a time":     rulTry(session.Key[time.Time]("k").WithRule("required"), time.Unix(1, 0).UTC(), map[string]time.Time{" required": {}}),
		"rule of a slice":    rulTry(session.Key[[]string]("k").WithRule("max=2,dive,email"), []string{"a@example.org"}, map[string][]string{"[1] email": {"a@example.org", "b"}, " max=2": {"", "", ""}}),
		"rule of a map":      rulTry(session.Key[map[string]int]("k").WithRule("dive,keys,alpha,endkeys,min=1"), map[string]int{"a": 1}, map[string]map[string]int{"[a] min=1": {"a": 0}, "[1] alpha": {"1": 1}}),
		"rule and structs":   rulTry(session.Key[[]rulItem]("k").WithRule("max=1"), []rulItem{item}, map[string][]rulItem{"[0].price min=1, [1].price min=1,  max=1": {{}, {}}}),
	} {
		t.Run(name, test)
	}
}

type rulBox[T any] struct {
	V T `json:"v"`
}

// TestReadingDoesNotValidate: rules may have become stricter since the value was stored.
func TestReadingDoesNotValidate(t *testing.T) {
	t.Parallel()
	item, items, mail := session.Struct[rulItem](), session.Key[[]rulItem]("items"), session.Key[string]("mail").WithRule("email")
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.plant(s, "items", `[{"price":0}]`, "mail", `"nobody"`, "price", "-1")
	stored := vis.stored(s)
	vis.request(func(ctx context.Context) {
		got, ok, err := item.Lookup(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, rulItem{Price: -1}, got)
		all, err := items.GetOrSet(ctx, func() ([]rulItem, error) { return nil, errTest })
		require.NoError(t, err)
		require.Equal(t, []rulItem{{}}, all)
		require.Equal(t, "nobody", mail.Value(ctx))
		_, err = item.Update(ctx, func(v *rulItem) error { v.Name = "a"; return nil })
		requireInvalid(t, err, "rulItem", "price min=1")
	})
	require.Equal(t, stored, vis.stored(s))
	vis.request(func(ctx context.Context) {
		_, ok, err := item.Take(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		_, ok, err = items.Take(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		_, ok, err = mail.Take(ctx)
		require.NoError(t, err)
		require.True(t, ok)
	})
	require.Equal(t, map[string]string{"planted": "true"}, vis.stored(s))
}

type rulPeriod struct {
	Start int `json:"start"`
	End   int `json:"end" validate:"gtefield=Start"`
}

// TestPromise1_MergedStructIsValidatedAgain: two requests that are each valid, and
// together are not.
func TestPromise1_MergedStructIsValidatedAgain(t *testing.T) {
	t.Parallel()
	periods := session.Struct[rulPeriod]()
	change := map[string]func(f func(p *rulPeriod)) func(ctx context.Context) error{
		"Set": func(f func(p *rulPeriod)) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				p, err := periods.Get(ctx)
				f(&p)
				return errors.Join(err, periods.Set(ctx, p))
			}
		},
		"Update": func(f func(p *rulPeriod)) func(ctx context.Context) error {
			return func(ctx context.Context) error {
				_, err := periods.Update(ctx, func(p *rulPeriod) error { f(p); return nil })
				return err
			}
		},
	}
	for first, a := range change {
		for second, b := range change {
			t.Run(first+" and "+second, func(t *testing.T) {
				t.Parallel()
				s := memory.New()
				vis := newVisitor(t, newManager(t, on(s)))
				vis.request(func(ctx context.Context) { require.NoError(t, periods.Set(ctx, rulPeriod{Start: 1, End: 5})) })
				other := newVisitor(t, newManager(t, on(s)))
				other.cookie = vis.cookie
				_, err := vis.try(func(ctx context.Context) {
					require.NoError(t, session.Key[int]("beside").Set(ctx, 1))
					require.NoError(t, b(func(p *rulPeriod) { p.End = 2 })(ctx))
					other.request(func(ctx context.Context) { require.NoError(t, a(func(p *rulPeriod) { p.Start = 4 })(ctx)) })
				})
				var replay *session.ReplayError
				require.ErrorAs(t, err, &replay)
				require.Equal(t, "rulPeriod", replay.Key)
				requireInvalid(t, replay.Err, "rulPeriod", "end gtefield=Start")
				require.Equal(t, map[string]string{"start": "4", "end": "5"}, vis.stored(s), "nothing of the second is stored")
			})
		}
	}
}

func TestUpdateOfAKeyIsValidatedAgain(t *testing.T) {
	t.Parallel()
	key := session.Key[int]("k").WithRule("max=10")
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.request(func(ctx context.Context) { require.NoError(t, key.Set(ctx, 1)) })
	add := func(ctx context.Context) {
		_, err := key.Update(ctx, func(n *int) error { *n += 6; return nil })
		require.NoError(t, err)
	}
	_, err := vis.try(func(ctx context.Context) {
		add(ctx)
		other := *vis
		other.request(add)
	})
	var replay *session.ReplayError
	require.ErrorAs(t, err, &replay)
	requireInvalid(t, replay.Err, "k", " max=10")
	require.Equal(t, map[string]string{"k": "7"}, vis.stored(s))
}

type rulCoupon struct {
	Code string `json:"code"`
	Free bool   `json:"free"`
}

// TestValidatorOfOnesOwn knows rules that no tag of the library does, and rules of types without tags.
func TestValidatorOfOnesOwn(t *testing.T) {
	t.Parallel()
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(sf reflect.StructField) string { return sf.Tag.Get("json") })
	require.NoError(t, v.RegisterValidation("even", func(fl validator.FieldLevel) bool { return fl.Field().Int()%2 == 0 }))
	v.RegisterStructValidation(func(sl validator.StructLevel) {
		if c := sl.Current().Interface().(rulCoupon); c.Free && c.Code == "" {
			sl.ReportError(c.Code, "code", "Code", "free", "")
		}
	}, rulCoupon{})
	own := newManager(t, func(cfg *session.Config) { cfg.Validator = v })
	type even struct {
		N int `json:"n" validate:"even"`
	}
	type holder struct {
		Coupons []rulCoupon `json:"coupons"`
		At      rulStamp    `json:"at,omitzero"`
	}
	newVisitor(t, own).request(func(ctx context.Context) {
		requireInvalid(t, session.Struct[even]().Set(ctx, even{1}), "even", "n even")
		require.NoError(t, session.Struct[even]().Set(ctx, even{2}))
		requireInvalid(t, session.Key[int]("k").WithRule("even").Set(ctx, 1), "k", " even")
		requireInvalid(t, session.Key[rulCoupon]("c").Set(ctx, rulCoupon{Free: true}), "c", "code free")
		requireInvalid(t, session.Key[[]rulCoupon]("c").Set(ctx, []rulCoupon{{}, {Free: true}}), "c", "[1].code free")
		requireInvalid(t, session.Struct[holder]().Set(ctx, holder{Coupons: []rulCoupon{{Free: true}}}), "holder", "coupons[0].code free")
		require.NoError(t, session.Struct[holder]().Set(ctx, holder{Coupons: []rulCoupon{{Code: "a"}}}))
		require.NoError(t, session.Key[rulStamp]("stamp").Set(ctx, rulStamp(time.Unix(1, 0))))
	})
	newVisitor(t, newManager(t)).request(func(ctx context.Context) {
		require.NoError(t, session.Key[rulCoupon]("c").Set(ctx, rulCoupon{Free: true}), "the default validator knows nothing of it")
	})
}

// TestBadRulesAtRunTime: what NewManager could not see is an error, and no panic.
func TestBadRulesAtRunTime(t *testing.T) {
	t.Parallel()
	type misspelled struct {
		A string `json:"a" validate:"emial"`
	}
	type unfit struct {
		A bool  `json:"a" validate:"min=1"`
		B []int `json:"b" validate:"max=x"`
	}
	vis := newVisitor(t, newManager(t))
	vis.request(func(ctx context.Context) {
		for name, f := range map[string]func() map[string]error{
			"misspelled": func() map[string]error { return refVerbs(ctx, session.Struct[misspelled]()) },
			"unfit":      func() map[string]error { return refVerbs(ctx, session.Struct[unfit]()) },
			"k1":         func() map[string]error { return refVerbs(ctx, session.Key[misspelled]("k1")) },
			"k2":         func() map[string]error { return refVerbs(ctx, session.Key[string]("k2").WithRule("emial")) },
			"k3":         func() map[string]error { return refVerbs(ctx, session.Key[bool]("k3").WithRule("max=1")) },
			"k5":         func() map[string]error { return refVerbs(ctx, session.Key[int]("k5").WithRule("|,=")) },
		} {
			var all map[string]error
			require.NotPanics(t, func() { all = f() }, name)
			for _, verb := range []string{"Set", "Update", "GetOrSet"} {
				requireValueError(t, name, all[verb])
			}
			for _, verb := range []string{"Get", "Lookup", "Take", "Delete"} {
				require.NoError(t, all[verb], "%s of %s", verb, name)
			}
		}
		late := session.Key[int]("late").WithRule("required,dive,min=1") // which is met behind another rule
		requireInvalid(t, late.Set(ctx, 0), "late", " required")
		requireValueError(t, "late", late.Set(ctx, 1))
	})
	require.Empty(t, vis.cookie)
}
