#pragma once
// Pictures of numbers in one quiet style: a Figure says what is drawn, gnuplot draws it. SVGs
// follow the reader's light or dark mode.
//
//     #include "ritz/io/plot.h"
//     int main() {
//       using ritz::io::Style;
//       const std::vector<double> b{1, 2, 4, 8}, l{38, 27, 19, 14}, se{3, 2, 1, 1}, t{40, 28, 20, 14};
//       ritz::io::write_figure(
//           "extremes.svg",
//           {.title = "Extreme eigenvalues of the batch Hessian",
//            .x = {.label = "batch size B", .log = true},
//            .y = {.label = "eigenvalue", .log = true},
//            .curves = {{.label = "measured", .x = b, .y = l, .error = se, .style = Style::error_bars},
//                       {.label = "theory", .x = b, .y = t}}});
//     }
#include <optional>
#include <string>
#include <vector>

namespace ritz::io {

struct Axis {
  std::string label = {};
  bool log = false;                // base 10; values <= 0 are left out of the picture
  std::optional<double> min = {};  // none: from the data
  std::optional<double> max = {};
};

enum class Style {
  line,
  points,
  line_points,
  error_bars,  // points with +-error
  stems,       // vertical lines from zero, as for quadrature weights
  steps,       // a histogram's or cumulative distribution's outline
  band,        // filled between y - error and y + error, with the line
  guide,       // a thin dashed grey line: a theory's slope, a threshold
};

struct Curve {
  std::string label = {};  // empty: not in the legend
  std::vector<double> x = {};
  std::vector<double> y = {};      // NaN leaves a gap
  std::vector<double> error = {};  // error_bars and band
  Style style = Style::line;
  int colour = -1;  // a fixed palette's number; -1: the next one
};

/// A straight line across the whole picture at x or at y, with a word beside it.
struct Mark {
  double at = 0;
  bool vertical = true;
  std::string label = {};
};

struct Figure {
  std::string title = {};
  Axis x = {};
  Axis y = {};
  std::vector<Curve> curves = {};
  std::vector<Mark> marks = {};
  bool legend_left = false;  // the legend stands at the right unless the data do; below, if long
};

/// Draws to FILE.svg or FILE.png, whole or not at all. InvalidArgument for curves of unequal
/// lengths or an extension of another kind; SystemFailure where gnuplot is missing or fails.
void write_figure(const std::string& path, const Figure& figure, bool force = false);

/// The SVG's text.
std::string svg_text(const Figure& figure);

}  // namespace ritz::io
