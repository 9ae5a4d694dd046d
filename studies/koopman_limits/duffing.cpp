// A: Duffing's oscillator without damping. Its approximate point spectrum is the unit circle.
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "ritz/koopman/certified_spectrum.h"
#include "ritz/koopman/edmd.h"
#include "ritz/koopman/holdout.h"
#include "studies/generators/dynamics.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies::koopman_limits {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
const std::vector<int64_t> kSizes = {25, 50, 100, 200};

struct Measured {
  double to_circle = 0, from_circle = 0, certificate = 0, edmd = 0, edmd_residual = 0, defect = 0,
         threshold = 0;
  bool violated = false;
};

/// sup over the upper half circle of the distance to the points.
double from_half_circle(const Tensor& points) {
  const Tensor angle = torch::linspace(0, std::numbers::pi, 721, torch::kFloat64);
  const Tensor circle = torch::polar(torch::ones_like(angle), angle);
  return std::get<0>((circle.unsqueeze(1) - points.unsqueeze(0)).abs().min(1)).max().item<double>();
}

/// The level set of values [nx, ny] on the grid as line segments (marching squares), NaN between.
io::Curve contour(const koopman::Grid& grid, const Tensor& values, double level) {
  io::Curve out{.label = "tau = " + std::to_string(level).substr(0, 4)};
  const auto v = values.accessor<double, 2>();
  for (int64_t i = 0; i + 1 < v.size(0); ++i)
    for (int64_t j = 0; j + 1 < v.size(1); ++j) {
      const int64_t corner[4][2] = {{i, j}, {i + 1, j}, {i + 1, j + 1}, {i, j + 1}};
      int met = 0;
      for (int k = 0; k < 4; ++k) {
        const auto *a = corner[k], *b = corner[(k + 1) % 4];
        const double fa = v[a[0]][a[1]] - level, fb = v[b[0]][b[1]] - level;
        if ((fa < 0) == (fb < 0)) continue;
        const double t = fa / (fa - fb);
        const auto at = [&](int axis) {
          return static_cast<double>(a[axis]) + t * static_cast<double>(b[axis] - a[axis]);
        };
        out.x.push_back(grid.x0 + grid.spacing * at(0));
        out.y.push_back(grid.y0 + grid.spacing * at(1));
        if (++met % 2 == 0) {
          out.x.push_back(kNone);
          out.y.push_back(kNone);
        }
      }
    }
  return out;
}

koopman::Reduction reduce(const koopman::Snapshots& data, const Tensor& centres, double scale) {
  return koopman::reduce(*koopman::rbf_dictionary(centres, scale), data);
}

/// EDMD's eigenvalues in the upper half plane, those with hold-out residual <= .3 and the others.
void draw_eigenvalues(const koopman::Eigenpairs& pairs, const Tensor& residuals,
                      io::Figure& figure) {
  io::Curve good{.label = "EDMD, residual <= 0.3", .style = io::Style::points},
      bad{.label = "EDMD, residual > 0.3", .style = io::Style::points};
  for (int64_t k = 0; k < pairs.values.size(0); ++k) {
    const auto z = pairs.values[k].item<c10::complex<double>>();
    if (z.imag() < -1e-12) continue;
    auto& curve = residuals[k].item<double>() <= .3 ? good : bad;
    curve.x.push_back(z.real());
    curve.y.push_back(z.imag());
  }
  for (auto& curve : {good, bad})
    if (!curve.x.empty()) figure.curves.push_back(curve);
}

}  // namespace

void certified_oscillator(const StudyContext& context, StudyResult& result) {
  const koopman::Grid grid{.x0 = -1.2, .x1 = 1.2, .y0 = 0, .y1 = 1.2, .spacing = .1};
  const auto places = koopman::grid_points(grid);
  const auto draw = [&](const char* region, uint64_t purpose, int64_t trajectories) {
    return koopman::trajectories(
        duffing(
            {.trajectories = trajectories, .region = region, .seed = 3 * context.seed + purpose}),
        {.dt = .3});
  };
  std::vector<Measured> invariant, square;
  io::Figure picture{.title = "Duffing's oscillator, N = 200: what is verified",
                     .x = {.label = "Re", .min = -1.25, .max = 1.25},
                     .y = {.label = "Im", .min = 0, .max = 1.3}};
  for (const char* region : {"invariant", "square"}) {
    const auto data = draw(region, 0, 3000), held = draw(region, 1, 1000),
               sample = draw(region, 2, 1000);
    const Tensor both = torch::cat({sample.x(), sample.y()});
    const double scale = koopman::mean_spread(both);
    for (const int64_t N : kSizes) {
      context.progress(std::string("A, ") + region, static_cast<int64_t>(&N - kSizes.data()), 4);
      const Tensor centres = koopman::k_means(both, N, {.seed = context.seed});
      const auto reduction = reduce(data, centres, scale);
      Measured m;
      if (std::string(region) == "square") {
        m.defect = koopman::isometry_defect(reduction);
        m.threshold = koopman::isometry_threshold(reduction);
        m.violated = m.defect > m.threshold;
        square.push_back(m);
        continue;
      }
      const auto sweep = koopman::pseudospectrum(reduction, places.points);
      const auto found = koopman::certified_spectrum(reduction, grid, sweep);
      const auto pairs = koopman::edmd(reduction);
      const auto residuals =
          koopman::holdout_residuals(*koopman::rbf_dictionary(centres, scale), reduction.kept, held,
                                     pairs.values, pairs.vectors)
              .residuals;
      m = {.edmd = (pairs.values.abs() - 1).abs().max().item<double>(),
           .edmd_residual = residuals.max().item<double>(),
           .defect = found.defect,
           .threshold = found.threshold,
           .violated = found.violated};
      if (!found.violated) {
        m.to_circle = (found.points.abs() - 1).abs().max().item<double>();
        m.from_circle = from_half_circle(found.points);
        m.certificate = found.certificate;
      }
      invariant.push_back(m);
      if (N != kSizes.back()) continue;
      const Tensor tau = sweep.tau.view({places.nx, places.ny}).contiguous();
      const Tensor arc = torch::linspace(0, std::numbers::pi, 181, torch::kFloat64);
      picture.curves.push_back({.label = "the spectrum",
                                .x = numbers(torch::cos(arc)),
                                .y = numbers(torch::sin(arc)),
                                .style = io::Style::guide});
      for (const double level : {.2, .4, .8}) picture.curves.push_back(contour(grid, tau, level));
      if (!found.violated)
        picture.curves.push_back({.label = "certified spectrum",
                                  .x = numbers(torch::real(found.points)),
                                  .y = numbers(torch::imag(found.points)),
                                  .style = io::Style::points});
      draw_eigenvalues(pairs, residuals, picture);
    }
  }

  const auto column = [](const std::vector<Measured>& all, double Measured::*field) {
    std::vector<double> values;
    for (const auto& m : all) values.push_back(m.*field);
    return values;
  };
  const auto listed = [&](const char* what, double Measured::*field,
                          const std::vector<Measured>& all) {
    std::vector<std::pair<std::string, double>> out;
    for (size_t k = 0; k < all.size(); ++k)
      out.emplace_back(std::string(what) + ", N = " + std::to_string(kSizes[k]), all[k].*field);
    return out;
  };
  const auto joined = [](auto a, const auto& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  bool valid = true, falling = true;
  std::vector<double> hausdorff, sizes;
  for (size_t k = 0; k < invariant.size(); ++k) {
    const auto& m = invariant[k];
    valid = valid && !m.violated && m.to_circle <= m.certificate;
    hausdorff.push_back(std::max(m.to_circle, m.from_circle));
    falling = falling && (k == 0 || hausdorff[k] < hausdorff[k - 1]);
    sizes.push_back(static_cast<double>(kSizes[k]));
  }
  result.claims.push_back(
      {.id = "A-certificate",
       .claim = "The certificate bounds the distance of every returned point to the spectrum",
       .baseline = "the truth: the unit circle",
       .criterion = "max distance of the output to the circle <= E at N = 25, 50, 100, 200",
       .measured = joined(listed("distance", &Measured::to_circle, invariant),
                          listed("E", &Measured::certificate, invariant)),
       .holds = valid,
       .scale = Scale::quick});
  std::vector<std::pair<std::string, double>> two_sided;
  for (size_t k = 0; k < sizes.size(); ++k)
    two_sided.emplace_back("Hausdorff, N = " + std::to_string(kSizes[k]), hausdorff[k]);
  result.claims.push_back(
      {.id = "A-distance",
       .claim = "The certified spectrum converges to the spectrum, from both sides",
       .baseline = "the truth: the unit circle",
       .criterion = "two-sided Hausdorff distance falling with N, <= .25 at N = 200",
       .measured = joined(two_sided, listed("from the circle", &Measured::from_circle, invariant)),
       .holds = falling && hausdorff.back() <= .25,
       .scale = Scale::quick});
  result.claims.push_back(
      {.id = "A-edmd",
       .claim = "EDMD's eigenvalues do not converge",
       .baseline = "EDMD with the same functions and data",
       .criterion = "largest distance to the circle >= .8 at N = 200, and larger than at N = 25",
       .measured = joined(listed("distance", &Measured::edmd, invariant),
                          listed("hold-out residual", &Measured::edmd_residual, invariant)),
       .holds = invariant.back().edmd >= .8 && invariant.back().edmd > invariant.front().edmd,
       .scale = Scale::quick});
  bool refused = true, kept = true;
  for (size_t k = 0; k < sizes.size(); ++k) {
    refused = refused && (square[k].violated || k == 0);
    kept = kept && !invariant[k].violated;
  }
  result.claims.push_back(
      {.id = "A-square",
       .claim =
           "From initial states in the square [-2, 2]^2, which the flow leaves, no spectrum is "
           "certified",
       .baseline = "the invariant set of energy <= 2",
       .criterion = "||L' - I|| > 3 sqrt(N / M) on the square for N >= 50 (at N = 25 the functions "
                    "are too coarse to see it), never on the invariant set",
       .measured = joined(listed("square", &Measured::defect, square),
                          joined(listed("invariant", &Measured::defect, invariant),
                                 listed("threshold", &Measured::threshold, invariant))),
       .holds = refused && kept,
       .scale = Scale::quick});

  result.series.push_back(
      {.name = "duffing",
       .columns = {{"N", sizes},
                   {"to_circle", column(invariant, &Measured::to_circle)},
                   {"from_circle", column(invariant, &Measured::from_circle)},
                   {"certificate", column(invariant, &Measured::certificate)},
                   {"edmd", column(invariant, &Measured::edmd)},
                   {"edmd_holdout_residual", column(invariant, &Measured::edmd_residual)},
                   {"defect", column(invariant, &Measured::defect)},
                   {"defect_square", column(square, &Measured::defect)},
                   {"threshold", column(invariant, &Measured::threshold)}}});
  result.figures.push_back(
      {.name = "duffing",
       .caption = "Upper half plane. EDMD's eigenvalues fill the disc; their residuals on held-out "
                  "trajectories tell them. Level curves of tau run along the circle, where the "
                  "certified points lie.",
       .figure = picture});
  const auto curve = [&](const char* label, const std::vector<double>& y) {
    return io::Curve{.label = label, .x = sizes, .y = y, .style = io::Style::line_points};
  };
  result.figures.push_back(
      {.name = "duffing_errors",
       .caption = "Distances as the dictionary grows: the certificate E stays above the output's "
                  "true distance and falls; EDMD's worst eigenvalue moves away.",
       .figure = {
           .title = "Duffing's oscillator: distance to the unit circle",
           .x = {.label = "functions N", .log = true},
           .y = {.label = "largest distance", .min = 0},
           .curves = {curve("certificate E", column(invariant, &Measured::certificate)),
                      curve("certified -> circle", column(invariant, &Measured::to_circle)),
                      curve("circle -> certified", column(invariant, &Measured::from_circle)),
                      curve("EDMD -> circle", column(invariant, &Measured::edmd))}}});
}

}  // namespace ritz::studies::koopman_limits
