#pragma once
// What a sequence model is made of, as plain values, and as the words of a model file's metadata.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ritz/sequence/discretise.h"
#include "ritz/sequence/model/parts.h"
#include "ritz/sequence/perturbation.h"

namespace ritz::sequence {

/// s4: HiPPO itself, diagonal plus low rank. s4d: its normal part alone (S4D-LegS); s4d_lin and
/// s4d_inv: eigenvalues by formula; s4_ptd: perturbed, then diagonalised. These are H systems of
/// one input and one output. s5 and s5_ptd: one system of H inputs and H outputs. gru: no state
/// space.
enum class LayerKind { s4, s4d, s4d_lin, s4d_inv, s5, s4_ptd, s5_ptd, gru };
inline constexpr std::array<std::pair<std::string_view, LayerKind>, 8> kLayerKinds{
    {{"s4", LayerKind::s4},
     {"s4d", LayerKind::s4d},
     {"s4d-lin", LayerKind::s4d_lin},
     {"s4d-inv", LayerKind::s4d_inv},
     {"s5", LayerKind::s5},
     {"s4-ptd", LayerKind::s4_ptd},
     {"s5-ptd", LayerKind::s5_ptd},
     {"gru", LayerKind::gru}}};
std::string layer_kind_name(LayerKind kind);
constexpr bool is_s5(LayerKind kind) {
  return kind == LayerKind::s5 || kind == LayerKind::s5_ptd;
}

/// How the real part of an eigenvalue is kept: -exp(p), always negative; or p itself, cut at -1e-4.
enum class RealPart { exponential, clipped };
/// Where C starts and in which coordinates it is learned. diagonal: complex, in those of the
/// eigenvectors, standard normal (S4, S4D); lecun: the same out of a normal of variance 1/P (S5);
/// original: real, standard normal, in the coordinates of the HiPPO matrix, C W in use: models that
/// share it differ in A and B alone.
enum class OutputForm { diagonal, lecun, original };
enum class Pooling { mean, last };

/// One layer over time.
struct LayerOptions {
  LayerKind kind = LayerKind::s4_ptd;
  int64_t width = 64;   // H, channels
  int64_t states = 64;  // n a channel (s4*); P in all (s5*); the unit's size (gru)
  bool bidirectional = false;
  int64_t blocks = 1;                  // J (s5*): A is J copies of a matrix of P / J states
  int64_t systems = 1;                 // (s4*) pairs (A, B), shared by H / systems channels each
  bool steps_by_state = false;         // (s4*) a Delta for each state, instead of each channel
  double dt_min = 1e-3, dt_max = 0.1;  // Delta starts log-uniform between them
  std::optional<Discretisation>
      discretisation{};                 // default: zoh, and bilinear, its only one, for s4
  std::optional<RealPart> real_part{};  // default: clipped for s5*, else exponential
  std::optional<OutputForm> output{};   // default: lecun for s5*, else diagonal
  double b_scale = 0.5;                 // s4d: B = b_scale V^* B_H
  Storage storage = Storage::conjugate;
  PerturbationOptions perturbation = {};  // s4_ptd, s5_ptd: how E is made
  Tensor E = {};                          // instead: E itself, of states (/ blocks) squared
  bool freeze_A = false, freeze_B = false, freeze_dt = false;  // kept as they start
  /// Stored states (S4D: per system; S5: in all) of a model that will be filled from a file: then
  /// nothing is computed to start from. 0: it starts here.
  int64_t stored = 0;
  TensorOptions tensor = {};
  uint64_t seed = 0;
};

/// Encoder, residual blocks, pooling, decoder.
struct ModelOptions {
  LayerOptions layer = {};
  int64_t layers = 2;
  int64_t channels = 1;    // of a step of the input
  int64_t vocabulary = 0;  // > 0: a step is a token's id below it, and is embedded
  int64_t outputs = 2;     // classes, or numbers
  bool pairs = false;      // two sequences a sample, compared by a retrieval head
  bool residual = true;
  bool prenorm = false;
  Norm norm = Norm::layer;
  double norm_momentum = 0.9;  // of batch norm: what is kept
  Mixing mixing = Mixing::full_glu;
  double dropout = 0;
  Pooling pooling = Pooling::mean;
  int rank = 0;  // of data-parallel training: each process drops other entries
};

/// "s4-ptd:2x64x32" sets kind, layers, width and states. Throws InvalidArgument with the grammar.
void parse_model(const std::string& text, ModelOptions& options);
std::string model_description(const ModelOptions& options);

/// Everything of them that a model file must say for the model to be built again, under keys such
/// as "sequence.norm", and "model"; and back (`stored` among them). DataError where a key is
/// missing or senseless: the file is no sequence model's.
std::map<std::string, std::string> model_metadata(const ModelOptions& options);
ModelOptions model_options(const std::map<std::string, std::string>& metadata,
                           const std::string& file = {});

// The words of the command line and of metadata; InvalidArgument for others.
Mixing parse_mixing(std::string_view word);       // gelu, full-glu (or glu), half-glu1, half-glu2
Norm parse_norm(std::string_view word);           // layer, batch, none
Pooling parse_pooling(std::string_view word);     // mean, last
RealPart parse_real_part(std::string_view word);  // exponential, clipped
OutputForm parse_output_form(std::string_view word);  // diagonal, lecun, original

}  // namespace ritz::sequence
