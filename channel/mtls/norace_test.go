//go:build !race

package mtls_test

// raceFactor is how much more memory a program takes that looks for races.
const raceFactor = 1
