// D: two maps of the disc that agree at every sample and have different spectra.
#include <torch/types.h>

#include "ritz/koopman/edmd.h"
#include "ritz/koopman/tower.h"
#include "studies/generators/dynamics.h"
#include "studies/koopman_limits/parts.h"

namespace ritz::studies::koopman_limits {
namespace {

Tensor eigenvalues(const Tensor& x, const Tensor& y) {
  const auto dictionary = koopman::polynomial_dictionary(2, 28);  // degree 6
  return koopman::edmd(koopman::reduce(*dictionary, koopman::pairs(x, y))).values;
}

/// The largest distance to {1, -1}.
double off(const Tensor& values) {
  return torch::minimum((values - 1).abs(), (values + 1).abs()).max().item<double>();
}

}  // namespace

void adversarial_disc(const StudyContext& context, StudyResult& result) {
  const auto made = disc_pair({.points = 4000, .inside = 400, .seed = context.seed});
  const Tensor plain = eigenvalues(made.x, made.y), twisted = eigenvalues(made.x, made.other);
  const Tensor more = torch::cat({made.x, made.x_inside});
  const Tensor plain_more = eigenvalues(more, torch::cat({made.y, made.y_inside}));
  const Tensor twisted_more = eigenvalues(more, torch::cat({made.other, made.other_inside}));
  const bool same = torch::equal(plain, twisted);
  result.claims.push_back(
      {.id = "D-same",
       .claim = "Whatever is computed from the samples is the same for both maps",
       .baseline = "half turns of the disc against half turns twisted in the widest annulus that "
                   "none of 4000 points hit: spectra {1, -1} and the whole circle",
       .criterion = "eigenvalues equal bit by bit, and {1, -1} (within 1e-8)",
       .measured = {{"equal", same ? 1. : 0.},
                    {"distance to {1, -1}", off(plain)},
                    {"gap's width", made.high - made.low}},
       .holds = same && off(plain) < 1e-8,
       .scale = Scale::quick});
  result.claims.push_back(
      {.id = "D-inside",
       .claim = "Points inside the gap tell the maps apart",
       .baseline = "the plain map with the same points",
       .criterion = "eigenvalues of the twisted map leave {1, -1} (by more than .001), of the "
                    "plain "
                    "one they do not",
       .measured = {{"twisted", off(twisted_more)}, {"plain", off(plain_more)}},
       .holds = off(twisted_more) > .001 && off(plain_more) < 1e-8,
       .scale = Scale::quick});
  // What every result about a spectrum carries, with all that data can show in its favour.
  const auto tower =
      koopman::tower_of(koopman::Task::spectrum,
                        {.measure_preserving = true, .defect_within = true, .held_out = true});
  const bool says = tower.limits.size() == 2 &&
                    tower.assumption.find("One limit would not do") != std::string::npos;
  result.claims.push_back(
      {.id = "D-tower",
       .claim =
           "No algorithm of one limit verifies the spectrum of such maps, and the tool says so",
       .baseline = "the descriptor of `ritz koopman spectrum --measure-preserving`",
       .criterion = "it names two limits (M, then N) and says that one would not do",
       .measured = {{"limits", static_cast<double>(tower.limits.size())}},
       .holds = says,
       .scale = Scale::quick,
       .note = "it prints: " + tower.assumption});
  io::Figure figure{.title = "Two maps, the same samples: EDMD with points in the gap",
                    .x = {.label = "Re"},
                    .y = {.label = "Im"}};
  figure.curves.push_back({.label = "half turns",
                           .x = numbers(torch::real(plain_more)),
                           .y = numbers(torch::imag(plain_more)),
                           .style = io::Style::points});
  figure.curves.push_back({.label = "twisted",
                           .x = numbers(torch::real(twisted_more)),
                           .y = numbers(torch::imag(twisted_more)),
                           .style = io::Style::points});
  result.figures.push_back({.name = "disc",
                            .caption = "Without the 400 points in the gap both sets are {1, -1} to "
                                       "the last bit.",
                            .figure = figure});
}

}  // namespace ritz::studies::koopman_limits
