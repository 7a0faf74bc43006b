// Program wrong declares, in package variables, what NewManager has to refuse, and
// prints what it says: one line for each problem, behind the name of the scope.
//
// A comment "want" is a part of the line that this declaration leads to; {n} stands
// for the number of the line n lines further on.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

var (
	structs   = session.NewScope("structs")
	conflicts = session.NewScope("conflicts")
	rules     = session.NewScope("rules")
	fine      = session.NewScope("fine")
	empty     = session.NewScope("empty")
)

type (
	fine1 struct {
		A int       `json:"a" validate:"min=1"`
		B time.Time `json:"b"`
	}
	noTag struct {
		A int
		B string `json:"b,string"`
		C int    `json:"c"`
	}
	twice struct {
		A int `json:"x"`
		B int `json:"x"`
	}
	Inner  struct{ A, B chan int }
	nested struct {
		Inner
		M map[bool]string `json:"m"`
	}
	ownCodec struct {
		A int `json:"a"`
	}
	ruled struct {
		Nested []struct {
			Mail string `json:"mail" validate:"required,emial"`
			Age  int    `json:"age" validate:"email"`
		} `json:"nested"`
		On bool `json:"on" validate:"min=1"`
	}
)

func (ownCodec) MarshalJSON() ([]byte, error) { return nil, nil }

// Structs that cannot be used.
var (
	_ = session.Struct[fine1]().In(structs)
	_ = session.Struct[noTag]().In(structs) // want `structs: main.go:{0}: struct main.noTag: field A: it has no json tag` `structs: main.go:{0}: struct main.noTag: field B: the option "string"`
	_ = session.Struct[twice]().In(structs) // want `structs: main.go:{0}: struct main.twice: field B: field A has the same name "x"`
	_ = session.
		Struct[nested](). // want `structs: main.go:{0}: struct main.nested: field Inner.A: it has no json tag` `structs: main.go:{0}: struct main.nested: field Inner.B: ` `structs: main.go:{0}: struct main.nested: field M: JSON cannot hold a map with keys of type bool`
		In(structs)
	_ = session.Struct[ownCodec]().In(structs)         // want `structs: main.go:{0}: struct main.ownCodec: main.ownCodec encodes or decodes itself`
	_ = session.Struct[int]().In(structs)              // want `structs: main.go:{0}: struct int: int is no struct: use Key`
	_ = session.Struct[*fine1]().In(structs)           // want `structs: main.go:{0}: struct *main.fine1: *main.fine1 is no struct: use Key`
	_ = session.Struct[struct{}]().In(structs)         // want `structs: main.go:{0}: struct struct {}: it has no exported fields`
	_ = session.Key[int]("").In(structs)               // want `structs: main.go:{0}: session: value of "": the name of a key is empty`
	_ = session.Key[int]("\xff").In(structs)           // want `structs: main.go:{0}: session: value of "\xff": the name of a key is not valid UTF-8`
	_ = session.Key[int](strings.Repeat("long", 300)). // want `structs: main.go:{0}: session: 1200 bytes in a key name`
		In(structs)
	_ = session.Key[any]("chan").WithDefault(make(chan int)).In(structs) // want `structs: main.go:{0}: the value of WithDefault: session: value of "chan"`
	_ = session.Struct[struct {                                          // want `structs: main.go:{2}: the value of WithDefault: `
		A any `json:"any"`
	}]().WithDefault(struct {
		A any `json:"any"`
	}{A: func() {}}).In(structs)
)

// Keys of one name and different types.
var (
	_ = session.Key[int]("kk").In(conflicts)
	_ = session.Key[string]("kk").In(conflicts) // want `conflicts: key "kk" is declared with two types: as Key[int] at main.go:{-1}, and as Key[string] at main.go:{0}`
	_ = session.Key[int]("kk").In(conflicts)
	_ = session.Key[bool]("kk").In(conflicts) // want `conflicts: key "kk" is declared with two types: as Key[int] at main.go:{-3}, and as Key[bool] at main.go:{0}`

	_ = session.Key[string]("a").In(conflicts)
	_ = session.Struct[fine1]().In(conflicts)  // want `conflicts: key "a" is declared with two types: as Key[string] at main.go:{-1}, and as field A of Struct[main.fine1], a int, at main.go:{0}`
	_ = session.Struct[other1]().In(conflicts) // want `conflicts: key "b" is declared with two types: as field B of Struct[main.fine1], a time.Time, at main.go:{-1}, and as field Base.Begin of Struct[main.other1], a string, at main.go:{0}`

	_ = session.Key[int]("named").In(conflicts)
	_ = session.Key[level]("named").In(conflicts) // want `conflicts: key "named" is declared with two types: as Key[int] at main.go:{-1}, and as Key[main.level] at main.go:{0}`

	_ = helper[int]("helped")
	_ = helper[uint]("helped")

	keys = map[string]session.Typed[int]{
		"m": session.Key[int]("literal").In(conflicts),
	}
	_ = func() session.Typed[string] { return session.Key[string]("literal").In(conflicts) }() // want `conflicts: key "literal" is declared with two types: as Key[int] at main.go:{-2}, and as Key[string] at main.go:{0}`

	make1 = session.Key[int]
	_     = make1("variable").In(conflicts)
	_     = session.Key[int8]("variable").In(conflicts) // want `conflicts: key "variable" is declared with two types: as Key[int] at main.go:{-1}, and as Key[int8] at main.go:{0}`

	_ = session.Key[int]("init").In(conflicts)
)

type (
	level int
	Base  struct {
		Begin string `json:"b"`
	}
	other1 struct {
		Base
		C int `json:"c"`
	}
)

func helper[T any](name string) session.Typed[T] {
	return session.Key[T](name).In(conflicts) // want `conflicts: key "helped" is declared with two types: as Key[int] at main.go:{0}, and as Key[uint] at main.go:{0}`
}

func init() {
	deeper(func() {
		_ = session.Key[float64]("init").In(conflicts) // want `conflicts: key "init" is declared with two types: as Key[int] at main.go:{-20}, and as Key[float64] at main.go:{0}`
	})
	done := make(chan bool)
	go func() { // another goroutine is not this package's initialisation
		_ = session.Key[complex64]("init").In(conflicts)
		close(done)
	}()
	<-done
}

func deeper(f func()) { f() }

// Rules that do not exist or do not fit.
var (
	_ = session.Struct[ruled]().In(rules)                                                                  // want `rules: main.go:{0}: field Mail of struct { Mail string` `rules: main.go:{0}: field Age of struct { Mail string` `rules: main.go:{0}: field On of main.ruled`
	_ = session.Key[string]("mail").WithRule("emial").In(rules)                                            // want `rules: main.go:{0}: WithRule("emial") of key "mail": `
	_ = session.Key[string]("none").WithRule("").In(rules)                                                 // want `rules: main.go:{0}: session: value of "none": the tag of WithRule is empty`
	_ = session.Key[string]("default").WithRule("min=3").WithRule("email").WithDefault("nobody").In(rules) // want `rules: main.go:{0}: the value of WithDefault: session: "default" is not valid: breaks the rule email`
	_ = session.Key[chan int]("unheld").In(rules)                                                          // want `rules: main.go:{0}: session: value of "unheld": JSON cannot hold a chan int`
	_ = session.Key[fine1]("held").WithRule("required").In(rules)                                          // want `rules: main.go:{0}: session: value of "held": WithRule on a key that holds a struct`
	_ = session.Struct[fine1]().WithRule("required").In(rules)                                             // want `rules: main.go:{0}: session: value of "fine1": WithRule on a Struct`
	_ = session.Struct[struct {
		A string `json:"beside"`
	}]().In(rules)
	_ = session.Key[string]("beside").WithRule("email").In(rules) // want `rules: key "beside" has a rule, WithRule("email"), and is field A of Struct[struct { A string "json:\"beside\"" }], a string, at main.go:{-1}: put the rule into the tag of the field (Key[string] at main.go:{0})`
)

// None of these is a problem, of the scope fine or of the default scope.
var (
	_ = session.Key[int]("same")
	_ = session.Key[int]("same")
	_ = session.Key[string]("same").In(fine)
	_ = session.Key[string]("same").In(fine)
	_ = session.Struct[fine1]()
	_ = session.Struct[fine1]().WithDefault(fine1{A: 1}).WithLastWriteWins()
	_ = session.Key[int]("a").WithDefault(1).WithLastWriteWins().WithDefault(2)
	_ = session.Key[string]("text").WithRule("min=1").WithRule("email").WithDefault("ada@example.org")
	_ = session.Key[[]string]("texts").WithRule("max=9,dive,email")
	_ = session.Key[time.Time]("time").WithRule("required")
	_ = session.Key[time.Time]("a").In(fine)
	_ = session.Key[string]("a").In(empty).In(session.NewScope("elsewhere")).In(session.NewScope("further"))
	_ = session.Key[int8]("moved")
	_ = session.Key[int16]("moved").In(fine)
	_ = session.Key[int32]("moved").WithDefault(1).In(structs)
	_ = session.Key[int64]("moved").In(rules).WithDefault(1)
)

func main() {
	// By now no package is being initialised, so these are not registered.
	_ = session.Key[string]("same")
	_ = session.Struct[noTag]()
	for _, s := range []session.Scope{{}, structs, conflicts, rules, fine, empty} {
		_, err := session.NewManager(session.Config{Store: memory.New(), Scope: s})
		var config *session.ConfigError
		switch {
		case err == nil:
			continue
		case !errors.As(err, &config):
			fmt.Fprintf(os.Stderr, "%T: %v\n", err, err)
			os.Exit(1)
		}
		for _, p := range config.Problems {
			fmt.Printf("%s: %q\n", s.Name(), p.Error())
		}
	}
	_ = keys
}
