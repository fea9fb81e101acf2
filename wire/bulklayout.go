package wire

import (
	"cmp"
	"encoding"
	"fmt"
	"reflect"
	"sync"

	"github.com/fxamacker/cbor/v2"
)

// layout says where in a type there may be a Bulk. It is nil for types
// without; those are most.
type layout struct {
	kind   reflect.Kind
	bulk   bool         // it is a Bulk
	elem   *layout      // of a pointer, slice, array or map
	fields []fieldPlace // of a struct
	fault  string       // why values of the type cannot be marshaled
}

type fieldPlace struct {
	index  int
	layout *layout
}

// layouts remembers what layoutOf has found: a fact about types, of which a
// program has as many as its source says.
var layouts = sync.OnceValue(func() *sync.Map { return new(sync.Map) }) // reflect.Type to *layout

// layoutOf returns the layout of t, or nil.
func layoutOf(t reflect.Type) *layout {
	if t == nil {
		return nil
	}
	if l, ok := layouts().Load(t); ok {
		return l.(*layout)
	}
	s := survey{seen: make(map[reflect.Type]*layout)}
	l := s.visit(t)
	switch {
	case !s.bulks:
		l = nil // a type that contains itself has a layout without an end
	case s.fault != "":
		l = &layout{fault: s.fault}
	}
	layouts().Store(t, l)
	return l
}

// survey finds the layout of one type. A type that contains itself has a
// layout that does.
type survey struct {
	seen  map[reflect.Type]*layout
	bulks bool // there is a Bulk somewhere
	fault string
}

// visit returns a layout without the places that certainly lead to no Bulk.
func (s *survey) visit(t reflect.Type) *layout {
	if l, ok := s.seen[t]; ok {
		return l
	}
	l := &layout{kind: t.Kind()}
	s.seen[t] = l
	if t == reflect.TypeFor[Bulk]() {
		l.bulk, s.bulks = true, true
		return l
	}
	if !s.places(t, l) {
		s.seen[t] = nil
		return nil
	}
	return l
}

// places fills l in and reports whether there may be a Bulk in a t.
func (s *survey) places(t reflect.Type, l *layout) bool {
	switch t.Kind() {
	case reflect.Pointer:
		l.elem = s.visit(t.Elem())
	case reflect.Slice, reflect.Array, reflect.Map:
		if !marshalsItself(t) {
			l.elem = s.visit(t.Elem())
		}
	case reflect.Struct:
		s.structPlaces(t, l)
	}
	return l.elem != nil || len(l.fields) > 0
}

func (s *survey) structPlaces(t reflect.Type, l *layout) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && (f.Type == reflect.TypeFor[Bulk]() || f.Type == reflect.TypeFor[*Bulk]()) {
			s.bulks = true
			s.fault = fmt.Sprintf("%v embeds a Bulk, which would be all that is marshaled of it: give the field a name", t)
		}
	}
	if marshalsItself(t) {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous || leftOut(f.Tag) {
			continue
		}
		at := s.visit(f.Type)
		if at == nil {
			continue
		}
		if !f.IsExported() && f.Type.Kind() == reflect.Pointer {
			s.fault = fmt.Sprintf("%v embeds a pointer to a type that is not exported and may hold a Bulk: embed the type itself, or export it", t)
		}
		l.fields = append(l.fields, fieldPlace{i, at})
	}
}

// leftOut reports whether a field is not marshaled.
func leftOut(tag reflect.StructTag) bool {
	return cmp.Or(tag.Get("cbor"), tag.Get("json")) == "-"
}

// marshalsItself reports whether CBOR is made of a t by methods of its own.
func marshalsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, i := range []reflect.Type{
		reflect.TypeFor[cbor.Marshaler](), reflect.TypeFor[cbor.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
	} {
		if p.Implements(i) {
			return true
		}
	}
	return false
}
