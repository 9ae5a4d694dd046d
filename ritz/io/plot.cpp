#include "ritz/io/plot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "ritz/base/atomic_file.h"
#include "ritz/base/check.h"

namespace ritz::io {
namespace {

// Each colour as it is on white, and on a dark page.
struct Colour {
  const char* light;
  const char* dark;
};
constexpr Colour kInk = {"#333a45", "#d3d8e0"};
constexpr Colour kGrid = {"#e6e9ee", "#343a44"};
constexpr Colour kGuide = {"#98a1ae", "#7d8694"};
constexpr std::array<Colour, 8> kPalette = {{{"#2f6db3", "#7db3ef"},
                                             {"#c8641c", "#f0a468"},
                                             {"#3a8a57", "#79c795"},
                                             {"#8256a8", "#bf9de2"},
                                             {"#b8404b", "#f08d94"},
                                             {"#2a8c99", "#6cc8d3"},
                                             {"#8f7212", "#d9bc58"},
                                             {"#6b7280", "#a9b1bd"}}};

// gnuplot's single-quoted strings know one escape, the doubled quote, and run nothing.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += ' ';
    } else {
      out += c;
      if (c == '\'') out += '\'';
    }
  }
  return out + "'";
}

std::string number(double value) {
  return std::isfinite(value) ? number_text(value) : "NaN";
}

void check(const Figure& figure) {
  for (const auto& curve : figure.curves) {
    const auto length_error = [&](std::string_view name, size_t n) {
      throw InvalidArgument("curve '" + curve.label + "'",
                            std::to_string(curve.x.size()) + " values of " + std::string(name),
                            std::to_string(n));
    };
    if (curve.y.size() != curve.x.size()) length_error("y", curve.y.size());
    const bool needs_error = curve.style == Style::error_bars || curve.style == Style::band;
    if (needs_error && curve.error.size() != curve.x.size())
      length_error("error", curve.error.size());
  }
}

std::string axis_lines(const char* name, const Axis& axis) {
  std::string out = std::string("set ") + name + "label " + quoted(axis.label) +
                    " textcolor rgb '" + kInk.light + "'\n";
  if (axis.log) {
    out += std::string("set logscale ") + name + "\nset format " + name + " '%h'\n";
  }
  out += std::string("set ") + name + "range [" + (axis.min ? number(*axis.min) : "*") + ":" +
         (axis.max ? number(*axis.max) : "*") + "]\n";
  return out;
}

// "using" and style of a curve over its data block.
std::string curve_command(const Curve& curve, size_t index, size_t& next_colour) {
  const std::string block = "$curve" + std::to_string(index);
  const bool guide = curve.style == Style::guide;
  const size_t colour = curve.colour >= 0 ? static_cast<size_t>(curve.colour)
                        : guide           ? 0
                                          : next_colour++;
  const std::string rgb =
      std::string("rgb '") + (guide ? kGuide : kPalette[colour % kPalette.size()]).light + "'";
  const std::string title = curve.label.empty() ? " notitle" : " title " + quoted(curve.label);
  const std::string points = " pointtype 7 pointsize 0.45";
  switch (curve.style) {
    case Style::line:
      return block + " using 1:2 with lines linecolor " + rgb + " linewidth 1.8" + title;
    case Style::points:
      return block + " using 1:2 with points linecolor " + rgb + points + title;
    case Style::line_points:
      return block + " using 1:2 with linespoints linecolor " + rgb + " linewidth 1.6" + points +
             title;
    case Style::error_bars:
      return block + " using 1:2:3 with yerrorbars linecolor " + rgb + " linewidth 1.2" + points +
             title;
    case Style::stems:
      return block + " using 1:2 with impulses linecolor " + rgb + " linewidth 1.4" + title;
    case Style::steps:
      return block + " using 1:2 with steps linecolor " + rgb + " linewidth 1.6" + title;
    case Style::band:
      return block + " using 1:($2-$3):($2+$3) with filledcurves fillcolor " + rgb +
             " fillstyle transparent solid 0.18 noborder notitle, " + block +
             " using 1:2 with lines linecolor " + rgb + " linewidth 1.8" + title;
    case Style::guide:
      return block + " using 1:2 with lines linecolor " + rgb + " linewidth 1.2 dashtype (6,5)" +
             title;
  }
  return {};
}

/// Inside, in the corner that is said; below, where it has too many lines to leave the data room.
std::string legend_place(const Figure& figure) {
  const auto labelled = std::count_if(figure.curves.begin(), figure.curves.end(),
                                      [](const Curve& curve) { return !curve.label.empty(); });
  if (labelled > 3) return "bmargin center horizontal Left reverse maxcols 4";
  return figure.legend_left ? "top left Left reverse" : "top right";
}

std::string script(const Figure& figure, const std::string& terminal) {
  check(figure);
  const std::string ink = std::string(" textcolor rgb '") + kInk.light + "'";
  std::string out = "set encoding utf8\nset terminal " + terminal + "\n";
  out += std::string("set border 3 linecolor rgb '") + kInk.light + "' linewidth 0.8\n";
  out += "set tics nomirror out scale 0.5" + ink + "\n";
  out += std::string("set grid xtics ytics linetype 1 linecolor rgb '") + kGrid.light +
         "' linewidth 0.8\n";
  out += "set title " + quoted(figure.title) + ink + " offset 0,-0.3\n";
  out += "set key " + legend_place(figure) + ink +
         " samplen 1.6 spacing 1.15 width 1\nset bars 0.4\nset autoscale xfix\n";
  out += axis_lines("x", figure.x) + axis_lines("y", figure.y);
  for (const auto& mark : figure.marks) {
    const std::string at = number(mark.at);
    const std::string from = mark.vertical ? at + ",graph 0" : "graph 0," + at;
    const std::string to = mark.vertical ? at + ",graph 1" : "graph 1," + at;
    out += "set arrow from " + from + " to " + to + " nohead back linecolor rgb '" + kGuide.light +
           "' linewidth 1.2 dashtype (2,3)\n";
    const std::string place =
        mark.vertical ? at + ",graph 0.04 offset 0.6,0" : "graph 0.01," + at + " offset 0,0.6";
    if (!mark.label.empty()) {
      out += "set label " + quoted(mark.label) + " at " + place + " front textcolor rgb '" +
             kGuide.light + "'\n";
    }
  }
  std::string plot;
  size_t next_colour = 0;
  for (size_t k = 0; k < figure.curves.size(); ++k) {
    const Curve& curve = figure.curves[k];
    out += "$curve" + std::to_string(k) + " << END_OF_DATA\n";
    for (size_t i = 0; i < curve.x.size(); ++i) {
      out += number(curve.x[i]) + ' ' + number(curve.y[i]) + ' ' +
             number(i < curve.error.size() ? curve.error[i] : 0) + '\n';
    }
    out += "END_OF_DATA\n";
    plot += (plot.empty() ? "" : ", ") + curve_command(curve, k, next_colour);
  }
  if (plot.empty()) throw InvalidArgument("figure", "one curve or more", "none");
  return out + "plot " + plot + "\n";
}

// A temporary file without a name, gone when closed.
class Scratch {
 public:
  Scratch() : file_(std::tmpfile()) {
    if (file_ == nullptr)
      throw SystemFailure(format_error("temporary file", "one to be made", std::strerror(errno)));
  }
  ~Scratch() { std::fclose(file_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  int descriptor() const { return fileno(file_); }
  void fill(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0) {
      throw SystemFailure(format_error("temporary file", "room to write", std::strerror(errno)));
    }
    std::rewind(file_);
  }
  std::string text() {
    std::rewind(file_);
    std::string out;
    std::array<char, 65536> buffer;
    for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), file_)) > 0;)
      out.append(buffer.data(), n);
    return out;
  }

 private:
  std::FILE* file_;
};

// What gnuplot prints for a script. It reads and writes files, not pipes: neither side can block
// the other, and it ends by itself whatever becomes of us.
std::string run_gnuplot(const std::string& commands) {
  Scratch input, output, errors;
  input.fill(commands);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, errors.descriptor(), STDERR_FILENO);
  char name[] = "gnuplot", defaults[] = "-d";  // -d: without the user's own start-up file
  char* arguments[] = {name, defaults, nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, name, &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  if (failed == 0) {
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (failed == ENOENT || (failed == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)) {
    throw SystemFailure(
        format_error("pictures", "the program gnuplot (Debian: gnuplot-nox)", "none"));
  }
  const std::string message = errors.text();
  std::string picture = failed == 0 ? output.text() : std::string();
  if (failed != 0 || status != 0 || picture.empty()) {
    const size_t reason = message.find("line ");
    throw SystemFailure(format_error(
        "gnuplot", "a picture",
        failed != 0                   ? std::strerror(failed)
        : reason != std::string::npos ? message.substr(reason, message.find('\n', reason) - reason)
                                      : "nothing"));
  }
  return picture;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

std::vector<Colour> all_colours() {
  std::vector<Colour> all = {kInk, kGrid, kGuide};
  all.insert(all.end(), kPalette.begin(), kPalette.end());
  return all;
}

// gnuplot spells colours rgb(r,g,b), with and without spaces. Written as #rrggbb they can be found
// by the style sheet that turns them for a dark page; a viewer without style sheets shows the light
// ones.
std::string with_dark_mode(std::string svg, const std::string& title) {
  std::string style =
      "<style>text{font-family:system-ui,Helvetica,Arial,sans-serif}@media "
      "(prefers-color-scheme:dark){";
  for (const auto& colour : all_colours()) {
    unsigned r = 0, g = 0, b = 0;
    std::sscanf(colour.light, "#%2x%2x%2x", &r, &g, &b);
    for (const char* format : {"rgb(%u,%u,%u)", "rgb(%3u, %3u, %3u)"}) {
      char spelled[32];
      std::snprintf(spelled, sizeof spelled, format, r, g, b);
      replace_all(svg, spelled, colour.light);
    }
    for (const char* property : {"stroke", "fill", "color"}) {
      style += std::string("[") + property + "=\"" + colour.light + "\"]{" + property + ":" +
               colour.dark + "}";
    }
  }
  style += "}</style>\n";
  replace_all(svg, "fill = '", "fill='");
  replace_all(svg, "color='white'", "color='transparent'");  // halos around points
  replace_all(svg, "id=\"gnuplot_",
              "class=\"gnuplot_");  // ids would clash where pictures share a page
  for (size_t at = 0;
       (at = svg.find("<title>gnuplot_plot", at)) != std::string::npos;) {  // tooltips
    svg.erase(at, svg.find("</title>", at) + 8 - at);
  }
  const size_t begin = svg.find("<title>");
  const size_t end = svg.find("</desc>");
  if (begin != std::string::npos && end != std::string::npos) {
    std::string escaped = title;
    replace_all(escaped, "&", "&amp;");
    replace_all(escaped, "<", "&lt;");
    svg.replace(begin, end + 7 - begin, "<title>" + escaped + "</title>\n" + style);
  }
  return svg;
}

}  // namespace

std::string svg_text(const Figure& figure) {
  return with_dark_mode(
      run_gnuplot(script(figure, "svg size 720,420 noenhanced font 'Helvetica,13'")), figure.title);
}

void write_figure(const std::string& path, const Figure& figure, bool force) {
  const size_t dot = path.rfind('.');
  const std::string extension = dot == std::string::npos ? "" : path.substr(dot);
  if (extension != ".svg" && extension != ".png") {
    throw InvalidArgument("picture", "FILE.svg or FILE.png", "'" + path + "'");
  }
  AtomicFile file(path, force);
  file.write(extension == ".svg"
                 ? svg_text(figure)
                 : run_gnuplot(script(figure,
                                      "pngcairo size 1440,840 fontscale 2 linewidth 2 pointscale 2 "
                                      "noenhanced font 'Helvetica,13' background rgb 'white'")));
  file.commit();
}

}  // namespace ritz::io
