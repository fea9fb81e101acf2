package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// grid is a table of text; its first line is the head.
type grid [][]string

// grid returns the block as text: a line for each contender.
func (bl block) grid() grid {
	head := []string{""}
	for _, m := range bl.Main {
		head = append(head, m.label(), "x base")
	}
	for _, m := range bl.Aside {
		head = append(head, m.label())
	}
	g := grid{head}
	for _, r := range bl.Rows {
		g = append(g, r.line(bl))
	}
	return g
}

func (r row) line(bl block) []string {
	name := r.Contender
	if r.Sessions > 0 { // one round only
		name += fmt.Sprintf(" (%d)", r.Sessions)
	}
	if r.Error != "" {
		return []string{name, "error: " + r.Error}
	}
	line := []string{name}
	for _, m := range bl.Main {
		s, x := r.Spreads[m], "-"
		if q, ok := r.Ratios[m]; ok {
			x = fmt.Sprintf("%.2f", q.Median)
		}
		line = append(line, m.formatSpread(s), x)
	}
	for _, m := range bl.Aside {
		line = append(line, m.format(r.Spreads[m].Median))
	}
	return line
}

// verdicts says of each goal what was reached.
func (bl block) verdicts() (lines []string) {
	for _, g := range bl.Goals {
		for _, r := range bl.Rows {
			if r.Contender != g.Contender || r.Spreads == nil {
				continue
			}
			got := r.Spreads[g.Metric].Median
			text := g.Metric.format(got)
			if g.OfBase {
				got = r.Ratios[g.Metric].Median
				text = fmt.Sprintf("%.2fx", got)
			}
			word := "missed"
			if g.met(got) {
				word = "reached"
			}
			lines = append(lines, fmt.Sprintf("goal %s: %s: %s (%s)", word, g.Contender, g, text))
		}
	}
	return lines
}

// fatesGrid sums up fates: one line for each run of sizes of the same contender
// and batch with the same fate.
func fatesGrid(all []fates) grid {
	g := grid{{"", "batch", "bytes", "what became of them", "first error"}}
	type series struct {
		contender string
		batch     int
	}
	var order []series
	by := map[series][]fates{}
	for _, f := range all {
		k := series{f.Contender, f.Batch}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], f)
	}
	for _, k := range order {
		for run := by[k]; len(run) > 0; {
			n := 1
			for n < len(run) && run[n].Fate == run[0].Fate {
				n++
			}
			bytes := fmt.Sprint(run[0].Size)
			if n > 1 {
				bytes += fmt.Sprintf(" to %d (%d sizes)", run[n-1].Size, n)
			}
			g = append(g, []string{k.contender, fmt.Sprint(k.batch), bytes, string(run[0].Fate), run[0].Error})
			run = run[n:]
		}
	}
	return g
}

// writeText writes the report for a terminal.
func (r report) writeText(w io.Writer) error {
	fmt.Fprintf(w, "%s\nmedian [min to max] of %d rounds, the contenders in turns\n", r.Machine, r.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, bl := range r.Blocks {
		fmt.Fprintf(t, "\n%s\n", bl.Title)
		if bl.Note != "" {
			fmt.Fprintf(t, "%s\n", bl.Note)
		}
		bl.grid().tabbed(t)
		for _, v := range bl.verdicts() {
			fmt.Fprintf(t, "%s\n", v)
		}
	}
	if len(r.Fates) > 0 {
		fmt.Fprintf(t, "\n%s\n", fatesTitle)
		fatesGrid(r.Fates).tabbed(t)
	}
	return t.Flush()
}

func (g grid) tabbed(w io.Writer) {
	for _, line := range g {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
}

// writeMarkdown writes the report as RESULTS.md.
func (r report) writeMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Speed\n\nMade by `%s` on %s.\n\n%s\n", command, r.Machine, fmt.Sprintf(preface, r.Rounds))
	for _, bl := range r.Blocks {
		fmt.Fprintf(&b, "\n## %s\n\n", bl.Title)
		if bl.Note != "" {
			fmt.Fprintf(&b, "%s\n\n", bl.Note)
		}
		b.WriteString(bl.grid().markdown())
		for i, v := range bl.verdicts() {
			if i == 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "- %s\n", v)
		}
	}
	if len(r.Fates) > 0 {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n%s", fatesTitle, fatesPreface, fatesGrid(r.Fates).markdown())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// command is what makes bench/RESULTS.md, from the root of the repository.
const command = "go -C bench run . -markdown RESULTS.md"

const preface = `Each figure is the median [lowest to highest] of %d rounds. In each round every contender was measured once, one after the other; "x base"
compares with the first line of the same round. All far sides are other processes, each in a session of its own (setsid), unless it says otherwise. A message counts when the far side has handled it.
Near is the sender, far the receiver; CPU is user and system time of the whole process, for each message. Compare lines of one table, not figures of two runs.`

const fatesPreface = `Over TCP, at everybody's default limits. The far side compares the bytes of what arrives. "Error for each" means that the sender knows
of every message that was not delivered; with a broken connection it knows that some were not.`

func (g grid) markdown() string {
	var b strings.Builder
	for i, line := range g {
		cells := make([]string, len(g[0]))
		for j := range min(len(line), len(cells)) {
			cells[j] = strings.ReplaceAll(line[j], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		if i == 0 {
			fmt.Fprintf(&b, "|%s\n", strings.Repeat(" --- |", len(line)))
		}
	}
	return b.String()
}
