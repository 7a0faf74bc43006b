package session_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"time"
)

// Structs with every kind of field that encoding/json knows, and random values of
// them.

type (
	fldLevel  int8
	fldName   string
	fldBytes  []byte
	fldColour struct{ R, G uint8 } // text, by value

	fldScalars struct {
		B    bool     `json:"b"`
		I    int      `json:"i"`
		I8   int8     `json:"i8"`
		I16  int16    `json:"i16"`
		I32  int32    `json:"i32"`
		I64  int64    `json:"i64"`
		U    uint     `json:"u"`
		U8   uint8    `json:"u8"`
		U16  uint16   `json:"u16"`
		U32  uint32   `json:"u32"`
		U64  uint64   `json:"u64"`
		Uptr uintptr  `json:"uptr"`
		F32  float32  `json:"f32"`
		F64  float64  `json:"f64"`
		S    string   `json:"s"`
		L    fldLevel `json:"l"`
		N    fldName  `json:"n"`
	}

	fldRefs struct {
		P      *int                          `json:"p"`
		PP     **string                      `json:"pp"`
		PS     *fldScalars                   `json:"ps"`
		M      map[string]int                `json:"m"`
		MI     map[int]string                `json:"mi"`
		MU     map[fldLevel]bool             `json:"mu"`
		MN     map[fldName]any               `json:"mn"`
		MT     map[fldColour]int             `json:"mt"`
		Deep   map[string][]map[string]*bool `json:"deep"`
		S      []int                         `json:"s"`
		SP     []*string                     `json:"sp"`
		SS     [][]string                    `json:"ss"`
		A      [3]int                        `json:"a"`
		AS     [2]fldInner                   `json:"as"`
		Bytes  []byte                        `json:"bytes"`
		Named  fldBytes                      `json:"named"`
		Fixed  [4]byte                       `json:"fixed"`
		Any    any                           `json:"any"`
		Anys   []any                         `json:"anys"`
		PMap   *map[string]int               `json:"pmap"`
		PSlice *[]int                        `json:"pslice"`
	}

	fldStd struct {
		T   time.Time                  `json:"t"`
		PT  *time.Time                 `json:"pt"`
		ST  []time.Time                `json:"st"`
		D   time.Duration              `json:"d"`
		Raw json.RawMessage            `json:"raw"`
		RM  map[string]json.RawMessage `json:"rm"`
		Num json.Number                `json:"num"`
		IP  netip.Addr                 `json:"ip"`
		Big *big.Int                   `json:"big"`
	}

	fldCustom struct {
		V   fldByValue            `json:"v"`
		PV  *fldByValue           `json:"pv"`
		SV  []fldByValue          `json:"sv"`
		MV  map[string]fldByValue `json:"mv"`
		P   fldByPointer          `json:"p"`
		PP  *fldByPointer         `json:"pp"`
		SP  []fldByPointer        `json:"sp"`
		C   fldColour             `json:"c"`
		PC  *fldColour            `json:"pc"`
		SC  []fldColour           `json:"sc"`
		In  fldHolder             `json:"in"`
		PIn *fldHolder            `json:"pin"`
		E   fldEmbed              `json:"e"`
		SE  []fldEmbed            `json:"se"`
	}
	fldHolder struct { // in a struct in a struct, where only the codec sees them
		V fldByValue
		P fldByPointer
		C fldColour `json:",omitzero"`
	}

	fldInner struct { // no field of these is a key, so no tags are needed
		A     int
		B     string `json:"b,omitempty"`
		C     *fldInner
		D     map[string]fldInner `json:",omitempty"`
		E     time.Time           `json:"e,omitzero"`
		F     float64             `json:",string"`
		Skip  int                 `json:"-"`
		Minus int                 `json:"-,"` //nolint:staticcheck // "-" is the name
		G     fldZero             `json:"g,omitzero"`
		inner int                 //nolint:unused // no field
	}

	fldNames struct {
		Skipped int                `json:"-"`
		Dash    int                `json:"-,"` //nolint:staticcheck // "-" is the name
		Plain   int                `json:",omitempty"`
		Größe   string             `json:"größe"`
		Tokyo   []int              `json:"東京"`
		Space   int                `json:"a b"`
		Odd     map[string]int     `json:"!#$%&()*+-./:;<=>?@[]^_{|}~"`
		Lower   int                `json:"case"`
		Upper   int                `json:"Case"`
		Inner   fldInner           `json:"inner"`
		Inners  []fldInner         `json:"inners"`
		Chans   map[string]float64 `json:"chans"`
		hidden  chan int           //nolint:unused // no field
	}

	fldOmit struct {
		B   bool            `json:"b,omitempty"`
		I   int             `json:"i,omitempty"`
		F   float64         `json:"f,omitempty"`
		S   string          `json:"s,omitempty"`
		P   *int            `json:"p,omitempty"`
		M   map[string]int  `json:"m,omitempty"`
		Sl  []int           `json:"sl,omitempty"`
		A0  [0]int          `json:"a0,omitempty"`
		A1  [1]int          `json:"a1,omitempty"`
		St  fldInner        `json:"st,omitempty"` //nolint:modernize // it is no error
		T   time.Time       `json:"t,omitempty"`  //nolint:modernize // it is no error
		Any any             `json:"any,omitempty"`
		Raw json.RawMessage `json:"raw,omitempty"`
		ZB  bool            `json:"zb,omitzero"`
		ZF  float64         `json:"zf,omitzero"`
		ZM  map[string]int  `json:"zm,omitzero"`
		ZSl []int           `json:"zsl,omitzero"`
		ZA  [2]int          `json:"za,omitzero"`
		ZSt fldInner        `json:"zst,omitzero"`
		ZT  time.Time       `json:"zt,omitzero"`
		ZPT *time.Time      `json:"zpt,omitzero"`
		ZV  fldZero         `json:"zv,omitzero"`
		ZP  fldZeroPointer  `json:"zp,omitzero"`
		ZPP *fldZeroPointer `json:"zpp,omitzero"`
		ZE  []int           `json:"ze,omitzero,omitempty"`
		ZI  interface{}     `json:"zi,omitzero"` //nolint:modernize // as people write it
	}

	fldTree struct {
		Name string             `json:"name"`
		Next *fldTree           `json:"next"`
		Kids []fldTree          `json:"kids,omitempty"`
		By   map[string]fldTree `json:"by,omitempty"`
	}

	fldDeepest struct {
		X      int `json:"x"` // hidden by those above
		OnlyC  int `json:"only_c"`
		Tagged int `json:"tagged"`
	}
	FldMiddle struct {
		fldDeepest
		X     int   `json:"x"` // hidden
		OnlyB []int `json:"only_b"`
	}
	FldBeside struct {
		OnlyP string    `json:"only_p"`
		When  time.Time `json:"when,omitzero"`
	}
	FldByName struct{ A, B int }
	fldEmbed  struct {
		FldMiddle
		*FldBeside
		FldByName `json:"by_name"`
		X         string `json:"x"`
		Own       int    `json:"own"`
	}
)

// What follows is how some of them encode themselves.

func (c fldColour) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "#%02x-%02x", c.R, c.G), nil
}

func (c *fldColour) UnmarshalText(b []byte) error {
	_, err := fmt.Sscanf(string(b), "#%02x-%02x", &c.R, &c.G)
	return err
}

type fldByValue struct{ n int }

func (v fldByValue) MarshalJSON() ([]byte, error)  { return json.Marshal([]int{v.n, 0}) }
func (v *fldByValue) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &[]any{&v.n, new(int)}) }

type fldByPointer struct{ n int }

func (p *fldByPointer) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `{"n<": %d}`, p.n), nil }

func (p *fldByPointer) UnmarshalJSON(b []byte) error {
	var m map[string]int
	err := json.Unmarshal(b, &m)
	p.n = m["n<"]
	return err
}

type fldZero int // even numbers are zero

func (z fldZero) IsZero() bool { return z%2 == 0 }

type fldZeroPointer struct{ N int }

func (z *fldZeroPointer) IsZero() bool { return z.N%2 == 0 }

// fldFill sets v to something random.
func fldFill(r *rand.Rand, v reflect.Value, depth int) {
	if !v.CanInterface() { // an embedded type that is not exported
		fldFillFields(r, v, depth)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		zone := time.FixedZone("", 60*(r.IntN(24*60)-12*60))
		if *p = time.Unix(r.Int64N(1<<36)-1<<35, r.Int64N(1e9)).In(zone); r.IntN(4) == 0 {
			*p = time.Time{}
		}
		return
	case *json.RawMessage:
		*p, _ = json.Marshal(fldAny(r, 2))
		return
	case *json.Number:
		*p = json.Number([]string{"0", "-0", "1", "1.50", "1e400", "123456789012345678901234567890", "-2E-3"}[r.IntN(7)])
		return
	case *netip.Addr:
		*p = netip.AddrFrom4([4]byte{1, 2, 3, byte(r.UintN(256))})
		return
	case **big.Int:
		*p = new(big.Int).Lsh(big.NewInt(r.Int64()), 70)
		return
	case *fldByValue:
		p.n = r.IntN(9)
		return
	case *fldByPointer:
		p.n = r.IntN(9)
		return
	case *any:
		*p = fldAny(r, depth)
		return
	}
	switch n := r.IntN(4); v.Kind() {
	case reflect.Bool:
		v.SetBool(n < 2)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(64))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		v.SetUint(r.Uint64() >> r.IntN(64))
	case reflect.Float32, reflect.Float64:
		v.SetFloat([]float64{0, math.Copysign(0, -1), 1e20, 1e21, 1e-6, 1e-7, 0.1, r.NormFloat64(), float64(r.Int64N(1e15))}[r.IntN(9)])
	case reflect.String:
		v.SetString(fldText(r))
	case reflect.Pointer:
		if v.SetZero(); n > 0 && depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fldFill(r, v.Elem(), depth-1)
		}
	case reflect.Slice:
		if v.SetZero(); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, 4))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			if depth > 0 {
				fldFill(r, v.Index(i), depth-1)
			}
		}
	case reflect.Map:
		if v.SetZero(); n > 0 && depth > 0 { // Update makes no difference between nil and empty
			v.Set(reflect.MakeMap(v.Type()))
		}
		for ; n > 0 && depth > 0; n-- {
			key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			fldFill(r, key, depth-1)
			fldFill(r, elem, depth-1)
			v.SetMapIndex(key, elem)
		}
	case reflect.Struct:
		fldFillFields(r, v, depth)
	default:
		panic(v.Type())
	}
}

func fldFillFields(r *rand.Rand, v reflect.Value, depth int) {
	for i := range v.NumField() {
		if sf := v.Type().Field(i); sf.IsExported() || sf.Anonymous {
			fldFill(r, v.Field(i), depth)
		}
	}
}

func fldText(r *rand.Rand) string {
	parts := []string{"", "a", "Zz", "<b>&", "\"\\/", "\x00\x1f\x7f", "\u2028", "ü", "東", "😀", "\n\t", " ", "null"}
	return parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))]
}

func fldAny(r *rand.Rand, depth int) any {
	switch r.IntN(7) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return r.NormFloat64()
	case 3:
		if depth > 0 {
			return []any{fldAny(r, depth-1), fldAny(r, depth-1)}
		}
	case 4:
		if depth > 0 {
			return map[string]any{fldText(r): fldAny(r, depth-1), "k": fldAny(r, depth-1)}
		}
	}
	return fldText(r)
}
