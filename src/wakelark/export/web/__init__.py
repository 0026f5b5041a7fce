"""A folder for a web server: the models, ONNX Runtime Web, a JavaScript module and a page; tried in a browser."""
