package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Structs that cannot be the shape of a session. These are declared at run time, so
// each verb says so; internal/declared shows what NewManager says of package variables.

type (
	refInner struct{ A int } // no tags: fine as a value, not as fields
	refOK    struct {
		A int `json:"a"`
	}
	RefOK struct {
		B int `json:"b"`
	}
	refCodec struct {
		A int `json:"a"`
	}
	refReader struct {
		A int `json:"a"`
	}
	refText struct {
		A int `json:"a"`
	}
	RefInt    int
	RefFrom   struct{ time.Time }
	RefTo     struct{ time.Time }
	refTwiceL struct{ refOK }
	refTwiceR struct{ refOK }
	refDeep   struct {
		In []map[string]struct {
			F func() `json:"f"`
		} `json:"in"`
	}
	refLoop struct {
		Next *refLoop           `json:"next"`
		Kids map[string]refLoop `json:"kids"`
		Bad  []chan<- int       `json:"bad"`
	}
)

func (refCodec) MarshalJSON() ([]byte, error)   { return []byte("1"), nil }
func (*refReader) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, new(int)) }
func (refText) MarshalText() ([]byte, error)    { return []byte("a"), nil }

// refVerbs calls every verb of a Typed. Those that can return an error do.
func refVerbs[T any](ctx context.Context, k session.Typed[T]) map[string]error {
	var zero T
	all := map[string]error{}
	_, all["Get"] = k.Get(ctx)
	_, _, all["Lookup"] = k.Lookup(ctx)
	all["Set"] = k.Set(ctx, zero)
	_, all["Update"] = k.Update(ctx, func(*T) error { return nil })
	_, all["GetOrSet"] = k.GetOrSet(ctx, func() (T, error) { return zero, nil })
	_, _, all["Take"] = k.Take(ctx)
	all["Delete"] = k.Delete(ctx)
	return all
}

// refRefused returns a test that a Struct of T is refused, with all of the reasons.
func refRefused[T any](reasons ...string) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		var s session.Typed[T]
		require.NotPanics(t, func() { s = session.Struct[T]() })
		refEveryVerb(t, s, reasons...)
		refEveryVerb(t, s.WithLastWriteWins().In(session.Scope{}), reasons...)
		var zero T
		refEveryVerb(t, s.WithDefault(zero), reasons...)
	}
}

func refEveryVerb[T any](t *testing.T, k session.Typed[T], reasons ...string) {
	t.Helper()
	vis := newVisitor(t, newManager(t))
	vis.request(func(ctx context.Context) {
		for verb, err := range refVerbs(ctx, k) {
			requireValueError(t, k.Name(), err)
			for _, reason := range reasons {
				require.ErrorContains(t, err, reason, verb)
			}
			require.Equal(t, len(reasons), 1+strings.Count(err.Error(), "\n"), "each reason once, and no other: %v", err)
		}
		names, err := session.FromContext(ctx).Keys(ctx)
		require.NoError(t, err)
		require.Empty(t, names)
	})
	require.Empty(t, vis.cookie, "nothing was written")
	_, err := vis.try(func(ctx context.Context) { require.Zero(t, k.Value(ctx)) })
	requireValueError(t, k.Name(), err)
}

func TestStructsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"string option": refRefused[struct {
			A int `json:"a,string"`
			B int `json:"b,omitempty,string"`
			C int `json:"c"`
		}](`field A: the option "string" of its json tag is not supported`, "field B: "),
		"no tag": refRefused[struct {
			A int
			B int `validate:"min=1"`
			C int `json:"c"`
		}]("field A: it has no json tag", "field B: it has no json tag"),
		"no tag, embedded": refRefused[struct {
			refInner
			RefOK
		}]("field refInner.A: it has no json tag"),
		"no tag, embedded int":   refRefused[struct{ RefInt }]("field RefInt: it has no json tag"),
		"no tag, embedded iface": refRefused[struct{ fmt.Stringer }]("field Stringer: it has no json tag"),
		// go vet refuses the plainer cases; internal/declared has one.
		"one embedded twice": refRefused[struct {
			refTwiceL
			refTwiceR
		}](`field refTwiceR.refOK.A: field refTwiceL.refOK.A has the same name "a"`),
		"no fields": refRefused[struct{}]("it has no exported fields"),
		"no exported fields": refRefused[struct {
			_ int
			a int
		}]("it has no exported fields"),
		"all excluded": refRefused[struct {
			A int `json:"-"`
		}]("it has no exported fields"),
		"int":               refRefused[int]("int is no struct: use Key"),
		"pointer":           refRefused[*refOK]("*session_test.refOK is no struct: use Key"),
		"map":               refRefused[map[string]int]("map[string]int is no struct: use Key"),
		"interface":         refRefused[any]("is no struct: use Key"),
		"slice of structs":  refRefused[[]refOK]("[]session_test.refOK is no struct: use Key"),
		"time":              refRefused[time.Time]("time.Time encodes or decodes itself"),
		"own MarshalJSON":   refRefused[refCodec]("session_test.refCodec encodes or decodes itself"),
		"own UnmarshalJSON": refRefused[refReader]("session_test.refReader encodes or decodes itself"),
		"own MarshalText":   refRefused[refText]("session_test.refText encodes or decodes itself"),
		"promoted MarshalJSON": refRefused[struct {
			refCodec
			B int `json:"b"`
		}]("encodes or decodes itself, perhaps by a method of an embedded type"),
		"promoted from a pointer": refRefused[struct {
			*refReader
			B int `json:"b"`
		}]("encodes or decodes itself, perhaps by a method of an embedded type"),
		"embedded time": refRefused[struct {
			time.Time
			B int `json:"b"`
		}]("encodes or decodes itself, perhaps by a method of an embedded type"),
		"two embedded times": refRefused[struct { // neither of which gives its methods
			RefFrom
			RefTo
		}]("field RefFrom.Time: an embedded time.Time is one value: give it a json tag", "field RefTo.Time: "),
		"chan": refRefused[struct {
			A chan int `json:"a"`
		}]("field A: JSON cannot hold a chan int"),
		"func": refRefused[struct {
			A func() `json:"a"`
		}]("field A: JSON cannot hold a func()"),
		"complex": refRefused[struct {
			A []*complex64 `json:"a"`
		}]("field A: JSON cannot hold a complex64"),
		"deep":      refRefused[refDeep]("field In: in its field F: JSON cannot hold a func()"),
		"recursive": refRefused[refLoop]("field Bad: JSON cannot hold a chan<- int", "field Next: in its field Bad: JSON cannot hold", "field Kids: in its field Bad: JSON cannot hold"),
		"map keys": refRefused[struct {
			A map[bool]int                `json:"a"`
			B []map[float64]int           `json:"b"`
			C map[string]map[refInner]int `json:"c"`
			D map[[2]int]int              `json:"d"`
			E map[any]int                 `json:"e"`
		}]("field A: JSON cannot hold a map with keys of type bool", "field B: JSON cannot hold a map with keys of type float64",
			"field C: JSON cannot hold a map with keys of type session_test.refInner", "field D: ", "field E: "),
		"interface with methods": refRefused[struct {
			A fmt.Stringer `json:"a"`
			B []error      `json:"b"`
		}]("field A: JSON cannot be decoded into a fmt.Stringer, an interface with methods", "field B: JSON cannot be decoded into a error"),
		"interface that only encodes": refRefused[struct {
			A json.Marshaler `json:"a"`
		}]("field A: JSON cannot be decoded into a json.Marshaler"),
		"embedded pointer to unexported": refRefused[struct {
			*refOK
			B int `json:"b"`
		}]("field refOK: JSON cannot be decoded into an embedded pointer to an unexported struct"),
		"tagged embedded unexported": refRefused[struct {
			refOK `json:"ok"`
			B     int `json:"b"`
		}]("field refOK: its json tag makes a value of it, and its type is not exported"),
		"embedded deeper": refRefused[struct {
			RefHolder
			B int `json:"b"`
		}]("field RefHolder.A: the option"),
		"invalid names": refRefused[struct {
			A int `json:"a'b"`  //nolint:staticcheck // that is the case
			B int `json:"a\\b"` //nolint:staticcheck // that is the case
			C int `json:"😀"`
			D int "json:\"a\tb\""
			E int "json:\"\xff\""
		}](`field A: encoding/json does not accept the name "a'b"`, "field B: encoding/json does not accept", "field C: ", "field D: ", "field E: "),
		"long name": refRefused[refLong]("field A: session: 1025 bytes in a key name, at most 1024 are allowed"),
		"many": refRefused[struct {
			A int
			B chan int `json:"b"`
			C int      `json:"c,string"`
		}]("field A: ", "field B: ", "field C: "),
	} {
		t.Run(name, test)
	}
}

type RefHolder struct {
	A int `json:"a,string"`
}

type refLong struct {
	A int `json:"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"`
}

// TestStructsOnTheEdge look like those that are refused and are not.
func TestStructsOnTheEdge(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"string in a nested struct": refAccepted[struct {
			In struct {
				A int `json:",string"`
			} `json:"in"`
		}](),
		"excluded": refAccepted[struct {
			A chan int `json:"-"`
			B int      `json:"b"`
			c func()
		}](),
		"excluded below": refAccepted[struct {
			In struct {
				A chan int `json:"-"`
				B int
				c func()
			} `json:"in"`
		}](),
		"hidden": refAccepted[struct {
			refOK
			A string `json:"a"`
		}](),
		"tag beats none": refAccepted[struct {
			FldByTag
			FldByGoName
		}](),
		"tagged embedded time": refAccepted[struct {
			FldStamp
			B int `json:"b"`
		}](),
		"other spelling": refAccepted[struct {
			A int `json:"x"`
			B int `json:"X"`
		}](),
		"unexported embedded": refAccepted[struct{ refOK }](),
		"unexported int": refAccepted[struct {
			fldLevel
			B int `json:"b"`
		}](),
		"a chan that is text": refAccepted[struct {
			A refTextChan `json:"a"`
		}](),
		"option of the future": refAccepted[struct {
			A int `json:"a,stringy,omitempty"` //nolint:staticcheck // that is the case
		}](),
		"name of 1024 bytes": refAccepted[refLongest](),
		"pointers to pointers": refAccepted[struct {
			A ***int `json:"a"`
		}](),
		"nothing but an any": refAccepted[struct {
			A any `json:"a"`
		}](),
	} {
		t.Run(name, test)
	}
}

type (
	FldByTag struct {
		X int `json:"A"`
	}
	FldByGoName struct {
		A string `json:",omitempty"`
	}
	FldStamp struct {
		When time.Time `json:"when"`
	}
	refTextChan chan int
	refLongest  struct {
		A int `json:"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"`
	}
)

func (refTextChan) MarshalText() ([]byte, error) { return []byte("chan"), nil }
func (*refTextChan) UnmarshalText([]byte) error  { return nil }

func refAccepted[T any]() func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		newVisitor(t, newManager(t)).request(func(ctx context.Context) {
			for verb, err := range refVerbs(ctx, session.Struct[T]()) {
				require.NoError(t, err, verb)
			}
		})
	}
}
