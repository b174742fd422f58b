// How images are walked through: under the taps of a window, and row by row.
#pragma once

// The taps of a window: offset[i] from the first value under output column 0, weights
// w + index[i] * step. Columns are `step` values apart (all channels, or one packed vector).
// They come in runs of `run` neighbours, `apart` columns from one to the next (0: no runs).
struct Taps {
  const long* offset;
  const int* index;
  int count, run, apart;
};

// Rows of two images that lie `x` and `d` values apart.
struct Rows {
  long count, columns, x, d;
};
