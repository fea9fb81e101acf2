// Package arch holds the rules of ARCHITECTURE.md as tests: who may import
// whom, who may touch the process around us, and how large things may get.
//
// Each rule is a function over one parsed package, found in a file named for
// its subject; all of them run over every package of the module, and over a
// table of small sources that break them. A failure names the rule and its
// reason. A rule that turns out wrong is changed here and in ARCHITECTURE.md
// in one commit.
//
// There is no code in this package outside its tests.
package arch
