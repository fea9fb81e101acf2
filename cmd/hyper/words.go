package main

import (
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"
)

// maxWord is the most bytes that a word has. What is longer is data rather
// than a word, and not counted.
const maxWord = 64

// tally is how often words occur. The zero tally has none.
type tally struct {
	total  int64
	index  map[string]int // where a word is in the following
	words  []string
	counts []uint64
}

// addBytes counts a word that the caller goes on to change.
func (t *tally) addBytes(word []byte) {
	t.total++
	if i, ok := t.index[string(word)]; ok { // costs no allocation
		t.counts[i]++
		return
	}
	t.insert(string(word), 1)
}

// add counts a word n times, and keeps no reference to word.
func (t *tally) add(word string, n uint64) {
	t.total += int64(n)
	if i, ok := t.index[word]; ok {
		t.counts[i] += n
		return
	}
	t.insert(string([]byte(word)), n)
}

func (t *tally) insert(word string, n uint64) {
	if t.index == nil {
		t.index = make(map[string]int)
	}
	t.index[word] = len(t.words)
	t.words = append(t.words, word)
	t.counts = append(t.counts, n)
}

// merge adds all of u.
func (t *tally) merge(u *tally) {
	for i, w := range u.words {
		t.add(w, u.counts[i])
	}
}

// reset forgets all words and keeps the memory.
func (t *tally) reset() {
	clear(t.index)
	t.total, t.words, t.counts = 0, t.words[:0], t.counts[:0]
}

// of returns how often word occurs.
func (t *tally) of(word string) uint64 {
	if i, ok := t.index[word]; ok {
		return t.counts[i]
	}
	return 0
}

// differ returns a word that occurs more or less often in u than in t.
func (t *tally) differ(u *tally) (word string, found bool) {
	for _, side := range []*tally{t, u} {
		for _, w := range side.words {
			if t.of(w) != u.of(w) {
				return w, true
			}
		}
	}
	return "", false
}

// wordCount is a word and how often it occurs.
type wordCount struct {
	Word  string `json:"word"`
	Count uint64 `json:"count"`
}

// top returns the n most frequent words, those that are equally frequent by name.
func (t *tally) top(n int) []wordCount {
	all := make([]wordCount, len(t.words))
	for i, w := range t.words {
		all[i] = wordCount{w, t.counts[i]}
	}
	slices.SortFunc(all, func(a, b wordCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Word, b.Word))
	})
	return slices.Clip(all[:min(n, len(all))])
}

// scanner finds the words of a text that comes in pieces. A word is a run of
// letters, digits and '_', in lower case, and has up to maxWord bytes. Text is
// valid UTF-8 without a NUL; anything else is binary.
type scanner struct {
	tally tally
	pos   int64 // bytes that were scanned
	start int64 // where the word begins that pos is in, if n > 0
	word  [maxWord + utf8.UTFMax]byte
	n     int // bytes of that word, also if it is too long
	buf   [readSize]byte
}

// reset makes s as good as new, and keeps the memory.
func (s *scanner) reset() {
	s.tally.reset()
	s.pos, s.n = 0, 0
}

// scan goes on with b. It returns how much of it was used, which is all but
// the beginning of a character at its end, and whether it is text.
func (s *scanner) scan(b []byte) (used int, text bool) {
	for used < len(b) {
		r, size := rune(b[used]), 1
		if r >= utf8.RuneSelf {
			if !utf8.FullRune(b[used:]) {
				return used, true
			}
			if r, size = utf8.DecodeRune(b[used:]); r == utf8.RuneError && size == 1 {
				return used, false
			}
		}
		if r == 0 {
			return used, false
		}
		if r = wordRune(r); r != 0 {
			s.put(r)
		} else if s.n > 0 {
			s.endWord()
		}
		used += size
		s.pos += int64(size)
	}
	return used, true
}

func (s *scanner) put(r rune) {
	if s.n == 0 {
		s.start = s.pos
	}
	switch {
	case s.n > maxWord: // it is too long already
	case r < utf8.RuneSelf:
		s.word[s.n] = byte(r)
		s.n++
	default:
		s.n += utf8.EncodeRune(s.word[s.n:], r)
	}
}

// endWord counts the word that pos is behind, if there is one.
func (s *scanner) endWord() {
	if s.n > 0 && s.n <= maxWord {
		s.tally.addBytes(s.word[:s.n])
	}
	s.n = 0
}

// wordRune returns r in lower case, or 0 if it belongs to no word.
func wordRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_':
		return r
	case 'A' <= r && r <= 'Z':
		return r + 'a' - 'A'
	case r >= utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return unicode.ToLower(r)
	}
	return 0
}
