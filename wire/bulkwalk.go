package wire

import (
	"errors"
	"fmt"
	"reflect"
)

// maxBulkDepth bounds how deep a Bulk may be in a value, counting every
// pointer, slice, map and struct on the way. It is more than what a receiver
// takes (MaxNestedLevels), and the end of pointers that go in circles.
const maxBulkDepth = 100

var errTooDeep = errors.New("pointers go in circles, or too deep")

// planter puts seats into the place of Bulks. The parts are collected when the
// seats are encoded, so that they are exactly those in the body, in its order.
type planter struct {
	seats int
	parts []Bulk
}

// plant works on v, which is a copy: what it points to is copied on the way,
// as far as there are Bulks in it.
func (p *planter) plant(l *layout, v reflect.Value, depth int) error {
	if depth > maxBulkDepth {
		return fmt.Errorf("%w: %w", Malformed, errTooDeep)
	}
	if l.bulk {
		return p.sit(v.Addr().Interface().(*Bulk))
	}
	switch l.kind {
	case reflect.Struct:
		for _, f := range l.fields {
			if err := p.plant(f.layout, v.Field(f.index), depth+1); err != nil {
				return err
			}
		}
		return nil
	case reflect.Array:
		return p.plantAll(l, v, depth)
	case reflect.Map:
		return p.plantMap(l, v, depth)
	}
	if v.IsNil() {
		return nil
	}
	if l.kind == reflect.Slice {
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		v.Set(own)
		return p.plantAll(l, own, depth)
	}
	own := reflect.New(v.Type().Elem())
	own.Elem().Set(v.Elem())
	v.Set(own.Convert(v.Type()))
	return p.plant(l.elem, own.Elem(), depth+1)
}

// plantAll plants in the elements of an array, or of a slice of our own.
func (p *planter) plantAll(l *layout, v reflect.Value, depth int) error {
	for i := range v.Len() {
		if err := p.plant(l.elem, v.Index(i), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (p *planter) plantMap(l *layout, v reflect.Value, depth int) error {
	if v.IsNil() {
		return nil
	}
	own := reflect.MakeMapWithSize(v.Type(), v.Len())
	for it := v.MapRange(); it.Next(); {
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(it.Value())
		if err := p.plant(l.elem, elem, depth+1); err != nil {
			return err
		}
		own.SetMapIndex(it.Key(), elem)
	}
	v.Set(own)
	return nil
}

// sit puts a seat into the place of b, unless b is empty.
func (p *planter) sit(b *Bulk) error {
	if b.Len() == 0 {
		*b = Bulk{}
		return nil
	}
	if p.seats++; p.seats > MaxParts {
		return fmt.Errorf("%w: more than %d bulk parts", TooLarge, MaxParts)
	}
	own, err := b.Share()
	if err != nil {
		return err
	}
	*b = Bulk{seat: &seat{size: uint64(own.Len()), planter: p, bulk: own}}
	return nil
}

// filler puts the parts into their seats, each into one.
type filler struct {
	parts []Bulk
	taken []bool
	used  int
	fault string
}

// fill works on v, which was just decoded and so cannot go in circles.
func (f *filler) fill(l *layout, v reflect.Value) {
	if l.bulk {
		f.settle(v.Addr().Interface().(*Bulk))
		return
	}
	switch l.kind {
	case reflect.Struct:
		for _, at := range l.fields {
			f.fill(at.layout, v.Field(at.index))
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			f.fill(l.elem, v.Index(i))
		}
	case reflect.Map:
		f.fillMap(l, v)
	case reflect.Pointer:
		if !v.IsNil() {
			f.fill(l.elem, v.Elem())
		}
	}
}

func (f *filler) fillMap(l *layout, v reflect.Value) {
	for it := v.MapRange(); it.Next(); {
		elem := reflect.New(v.Type().Elem()).Elem()
		elem.Set(it.Value())
		f.fill(l.elem, elem)
		v.SetMapIndex(it.Key(), elem)
	}
}

func (f *filler) settle(b *Bulk) {
	s := b.seat
	if s == nil {
		return
	}
	*b = Bulk{}
	switch {
	case f.fault != "":
	case s.number >= uint64(len(f.parts)):
		f.fault = fmt.Sprintf("part %d of %d", s.number, len(f.parts))
	case s.size != uint64(f.parts[s.number].Len()):
		f.fault = fmt.Sprintf("part %d has %d bytes, want %d", s.number, f.parts[s.number].Len(), s.size)
	case f.taken == nil:
		f.taken = make([]bool, len(f.parts))
		fallthrough
	default:
		if f.taken[s.number] {
			f.fault = fmt.Sprintf("part %d is named twice", s.number)
			return
		}
		f.taken[s.number] = true
		f.used++
		*b = f.parts[s.number]
	}
}
