#pragma once
// Koopman models in safetensors files: parameters, scale, relations, and the matrix K as a tensor
// of its own, for whoever reads the file with other tools.
//
//     #include "ritz/koopman/learned/model_file.h"
//     #include <torch/types.h>
//     int main() {
//       using namespace ritz::koopman::learned;
//       Model model({.network = "mlp:16", .sample = {3}, .latent = 4});
//       save_model(model, "koopman-model.safetensors", {{"window", "8"}}, true);
//       const auto again = load_model("koopman-model.safetensors");
//       return torch::equal(again.model->koopman_matrix(), model.koopman_matrix()) ? 0 : 1;
//     }
#include <map>
#include <memory>
#include <string>

#include "ritz/koopman/learned/model.h"

namespace ritz::koopman::learned {

/// Writes parameters and buffers under their names, `K` ([d, d]; [R, d, d] between objects; left
/// out where the latent map is nonlinear), `B` where there are actions, `relations`, and in the
/// metadata all of the model's options ("model" is "koopman") beside `metadata`.
void save_model(const Model& model, const std::string& path,
                const std::map<std::string, std::string>& metadata = {}, bool force = false);

struct LoadedModel {
  std::shared_ptr<Model> model;
  std::map<std::string, std::string> metadata;
};
/// Throws DataError where the file is no Koopman model or its tensors do not fit its metadata.
/// `options` may ask for another dtype or device than the file's.
LoadedModel load_model(const std::string& path, const TensorOptions& options = {});

}  // namespace ritz::koopman::learned
