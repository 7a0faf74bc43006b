package schedule

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Op is one step of a program.
type Op byte

// The steps. Key "a" is there from the beginning and is 1; "c" is a code that can be
// taken, 7; "g" is absent.
const (
	Load     Op = 'L' // reads a
	Set      Op = 'S' // sets a, to a value of its own, without having looked
	Update   Op = 'U' // adds one to a
	Replace  Op = 'W' // reads a, and sets it to one more
	Take     Op = 'T' // takes c
	Put      Op = 'P' // sets c, without having looked
	GetOrSet Op = 'G' // gets g, or sets it to a value of its own
	Save     Op = 'V'
	Rotate   Op = 'R'
	Login    Op = 'I' // as ada
	LoginBob Op = 'J' // as bob
	Elevate  Op = 'E'
	Destroy  Op = 'D'
)

var opNames = map[Op]string{
	Load: "load", Set: "set", Update: "update", Replace: "get and set", Take: "take", Put: "set the code",
	GetOrSet: "get or set", Save: "save", Rotate: "rotate", Login: "login", LoginBob: "login as bob",
	Elevate: "elevate", Destroy: "destroy",
}

// Ops are the steps of which the pairs are made.
var Ops = []Op{Load, Set, Update, Replace, Take, GetOrSet, Save, Rotate, Login, Elevate, Destroy}

// MoreOps are all there are.
var MoreOps = append([]Op{Put, LoginBob}, Ops...)

// Program is what one request does before its commit, one [Op] per byte.
type Program string

// String returns the names of the steps.
func (p Program) String() string {
	names := make([]string, len(p))
	for i := range len(p) {
		names[i] = opNames[Op(p[i])]
	}
	return strings.Join(names, ", ")
}

// Programs returns all programs of up to most steps, each one of ops.
func Programs(most int, ops []Op) []Program {
	var all []Program
	last := []Program{""}
	for range most {
		var longer []Program
		for _, p := range last {
			for _, op := range ops {
				longer = append(longer, p+Program(op))
			}
		}
		all = append(all, longer...)
		last = longer
	}
	return all
}

// maxRequests is how many requests a case can have.
const maxRequests = 3

// Case is a set of requests that happen at once, on 1 to 3 nodes: the second request is
// on the second node, and the third one on the third or, of two, on the first.
type Case struct {
	Programs []Program
	Nodes    int
	Owned    bool // the session is ada's from the beginning
}

// Pairs returns all unordered pairs of programs, each on one node and on two, the
// shortest first.
func Pairs(programs []Program) []Case {
	var cases []Case
	for i, p := range programs {
		for _, q := range programs[i:] {
			cases = append(cases, Case{Programs: []Program{p, q}, Nodes: 1}, Case{Programs: []Program{p, q}, Nodes: 2})
		}
	}
	slices.SortStableFunc(cases, func(c, d Case) int {
		return cmp.Compare(len(c.Programs[0])+len(c.Programs[1]), len(d.Programs[0])+len(d.Programs[1]))
	})
	return cases
}

// Threes returns all unordered triples of programs, each on one node and on three.
func Threes(programs []Program) []Case {
	var cases []Case
	for i, p := range programs {
		for j, q := range programs[i:] {
			for _, r := range programs[i+j:] {
				three := []Program{p, q, r}
				cases = append(cases, Case{Programs: three, Nodes: 1}, Case{Programs: three, Nodes: 3})
			}
		}
	}
	return cases
}

// Schedule is an order of the calls of a case: the numbers of the requests, from 0.
type Schedule struct {
	Case  Case
	Order []int
}

// String returns what [ParseSchedule] reads.
func (s Schedule) String() string {
	var b strings.Builder
	for i, p := range s.Case.Programs {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(string(p))
	}
	fmt.Fprintf(&b, "@%d", s.Case.Nodes)
	if s.Case.Owned {
		b.WriteString(owned)
	}
	b.WriteByte(':')
	for _, i := range s.Order {
		b.WriteString(letter(i))
	}
	return b.String()
}

// owned follows the number of nodes where the session has an owner.
const owned = ",ada"

// letter names a request.
func letter(request int) string { return "ABC"[request : request+1] }

var errSchedule = errors.New("schedule: it must look like US|D@1:ABBA, or US|D@2,ada: for all of them")

// ParseSchedule reads a schedule, such as US|D@2:ABBA: the programs, the number of
// nodes, with ",ada" whether the session has an owner, and the order. A part of an order stands for its beginning.
func ParseSchedule(text string) (Schedule, error) {
	programs, rest, ok := strings.Cut(text, "@")
	nodes, order, ok2 := strings.Cut(rest, ":")
	nodes, hasOwner := strings.CutSuffix(nodes, owned)
	n, err := strconv.Atoi(nodes)
	if !ok || !ok2 || err != nil || n < 1 || n > maxRequests {
		return Schedule{}, errSchedule
	}
	s := Schedule{Case: Case{Nodes: n, Owned: hasOwner}}
	for text := range strings.SplitSeq(programs, "|") {
		if len(text) == 0 {
			return Schedule{}, errSchedule
		}
		for i := range len(text) {
			if _, known := opNames[Op(text[i])]; !known {
				return Schedule{}, fmt.Errorf("%w: there is no step %q", errSchedule, text[i])
			}
		}
		s.Case.Programs = append(s.Case.Programs, Program(text))
	}
	if n = len(s.Case.Programs); n > maxRequests {
		return Schedule{}, errSchedule
	}
	for i := range len(order) {
		s.Order = append(s.Order, int(order[i])-'A')
	}
	if slices.ContainsFunc(s.Order, func(i int) bool { return i < 0 || i >= n }) {
		return Schedule{}, errSchedule
	}
	return s, nil
}
