package kubernetes

// Manifests in YAML, as the API server takes them.

// pageManifest needs the page's content.
const pageManifest = `apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {index.html: %q}
`

// deploymentManifest needs an image. No pod of it goes to the control plane,
// which is tainted.
const deploymentManifest = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      volumes: [{name: page, configMap: {name: page}}]
      containers:
      - name: web
        image: %s
        imagePullPolicy: Always
        command: [/bin/httpd, "80", /page]
        terminationMessagePolicy: FallbackToLogsOnError
        volumeMounts: [{name: page, mountPath: /page}]
        ports: [{containerPort: 80}]
        readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 2, timeoutSeconds: 10}
`

const serviceManifest = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
`

// podManifest needs a name, a node, an image and a command's words.
const podManifest = `apiVersion: v1
kind: Pod
metadata: {name: %[1]s, labels: {app: %[1]s}}
spec:
  nodeName: %[2]s
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  restartPolicy: OnFailure
  containers:
  - name: %[1]s
    image: %[3]s
    command: [%[4]s]
    terminationMessagePolicy: FallbackToLogsOnError
`

// volumeManifest needs a name, and a server's address and path.
const volumeManifest = `apiVersion: v1
kind: PersistentVolume
metadata: {name: %s}
spec:
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  storageClassName: ""
  nfs: {server: %q, path: %s}
`

// claimManifest needs the volume's name.
const claimManifest = `apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claim}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: ""
  volumeName: %s
  resources: {requests: {storage: 1Gi}}
`

// nfsPodManifest needs a node and an image. The scheduler is not passed by:
// it waits for the claim.
const nfsPodManifest = `apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
spec:
  nodeSelector: {kubernetes.io/hostname: %[1]s}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  restartPolicy: OnFailure
  volumes: [{name: data, persistentVolumeClaim: {claimName: claim}}]
  initContainers:
  - name: writer
    image: %[2]s
    command: [/bin/touch, /data/from-pod]
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: reader
    image: %[2]s
    command: [/bin/cat, /data/from-server]
    terminationMessagePolicy: FallbackToLogsOnError
    volumeMounts: [{name: data, mountPath: /data}]
`
