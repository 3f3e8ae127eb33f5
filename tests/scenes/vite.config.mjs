// Grafana's packages are made for Grafana's own build: these are the differences that a build of our own must bridge.
const routerForCompat = {
  name: 'router-for-compat',
  enforce: 'pre',
  // Scenes wants version 6 of the router, its compatibility layer version 5.
  async resolveId(source, importer) {
    if (source === 'react-router-dom' && importer?.includes('react-router-dom-v5-compat')) {
      return this.resolve('rrd5', importer, { skipSelf: true });
    }
  },
};

export default {
  plugins: [routerForCompat],
  define: { 'process.env.NODE_ENV': '"production"', 'process.env': '{}' },
  resolve: { dedupe: ['react', 'react-dom', '@grafana/data'] },
  build: {
    outDir: process.env.SCENES_OUT ?? 'dist',
    emptyOutDir: true,
    minify: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1e6,
    rollupOptions: { shimMissingExports: true, onwarn() {} },
  },
};
