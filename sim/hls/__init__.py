"""HLS C++ compiled with g++ and compared with the model, without any vendor's compiler."""
