package main

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/typedsession/session"
)

// Profile is a form. It shares the session with Visit: a struct need not be all of
// it, and neither touches the fields of the other.
type Profile struct {
	Name  string `json:"name" validate:"required,min=2,max=40"`
	Email string `json:"email" validate:"omitempty,email"`
	Age   int    `json:"age" validate:"gte=16,lte=120"`
}

// Member is the typed view of it.
var Member = session.Struct[Profile]()

// form is what the page shows: what was typed, and what is wrong with it.
type form struct {
	Name, Email, Age string
	Problems         map[string]string // by field
}

func formOf(p Profile) form {
	f := form{Name: p.Name, Email: p.Email}
	if p.Age != 0 {
		f.Age = strconv.Itoa(p.Age)
	}
	return f
}

// save stores what was typed. The rules are those of the session's type: what they
// refuse is not stored and comes back in the form.
func save(r *http.Request) (form, error) {
	f := form{
		Name: r.PostFormValue("name"), Email: r.PostFormValue("email"), Age: r.PostFormValue("age"),
		Problems: map[string]string{},
	}
	age, err := strconv.Atoi(f.Age)
	if err != nil {
		f.Problems["age"] = "is not a number"
		return f, nil //nolint:nilerr // the form shows it
	}
	err = Member.Set(r.Context(), Profile{Name: f.Name, Email: f.Email, Age: age})
	var invalid *session.ValidationError
	if !errors.As(err, &invalid) {
		return f, err
	}
	for _, field := range invalid.Fields {
		f.Problems[field.Name] = explain(field)
	}
	return f, nil
}

// explain says what a rule asks for.
func explain(f session.InvalidField) string {
	switch f.Rule {
	case "required":
		return "is missing"
	case "email":
		return "is not an address"
	case "min":
		return "needs at least " + f.Param + " characters"
	case "max":
		return "has room for " + f.Param + " characters"
	case "gte":
		return "must be at least " + f.Param
	case "lte":
		return "must be at most " + f.Param
	default:
		return "breaks the rule " + f.Rule
	}
}
