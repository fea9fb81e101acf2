package capture

// marks reads the records of one stream in order, from segment to segment.
type marks struct {
	dir   string
	base  int64 // of the segment whose index is open
	index *index
	next  int      // the number of the record to read next
	queue []record // read, not taken yet
	buf   []record // the memory of queue
}

const recordBatch = 64

// seek goes to the first record at offset or behind it, and returns the time
// of the one before.
func (m *marks) seek(segs []segment, offset int64) (before int64, err error) {
	i := max(0, at(segs, offset))
	if i > 0 && segs[i].base == offset {
		i-- // the last marks of that one may be about the same offset
	}
	if err := m.enter(segs[i]); err != nil {
		return 0, err
	}
	n, r, _, err := m.index.search(func(r record) bool { return r.offset >= offset })
	m.next = n
	return r.time, err
}

func (m *marks) enter(s segment) (err error) {
	m.close()
	m.base, m.next = s.base, 0
	m.index, err = openIndex(m.dir, s)
	return err
}

// peek returns the next record, if it is known by now. The index of a segment
// is complete once the next one is listed.
func (m *marks) peek(segs []segment) (record, bool, error) {
	for len(m.queue) == 0 {
		recs, passed, err := m.index.read(m.buf[:0], m.next, recordBatch)
		if err != nil {
			return record{}, false, err
		}
		m.buf, m.queue, m.next = recs, recs, m.next+passed
		if passed > 0 {
			continue
		}
		i := at(segs, m.base) + 1
		if i >= len(segs) {
			return record{}, false, nil
		}
		if err := m.enter(segs[i]); err != nil {
			return record{}, false, err
		}
	}
	return m.queue[0], true, nil
}

// take drops the record that peek returned.
func (m *marks) take() { m.queue = m.queue[1:] }

func (m *marks) close() {
	m.index.close()
	m.index = nil
}
